//! Questions to etcd: listings in pages, single keys, and whether it is still the same etcd.

use bytes::Bytes;

use super::{
    client::{Client, Link},
    fail::Fail,
    held::Held,
    keys::{Keys, NEW_ID, positive},
    proto::{
        self, Header, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse, Request,
        Response, TxnRequest, TxnResponse,
    },
    saver::Shared,
};
use crate::store::Entry;

const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";

/// Keys of one page.
const PAGE: i64 = 1000;

/// Up to so many keys are compared, all of them, with what is held when etcd is back. One that
/// was wiped and filled by the same script but for a value differs nowhere else. Of more keys it
/// is a sample.
const COMPARED_MAX: usize = 10_000;

/// How it shows that an etcd has another past.
pub(super) const ANOTHER: &str = "is another cluster";
pub(super) const WENT_BACK: &str = "went back to an older revision";

/// How often a listing is begun anew when etcd was compacted in the middle of it.
const BEGUN_MAX: usize = 5;

pub(super) fn header(header: Option<Header>) -> Result<Header, Fail> {
    header.ok_or_else(|| Fail::Nonsense("an answer without a header".to_owned()))
}

/// One key.
pub(super) async fn get(
    client: &Client,
    link: &Link,
    keys: &Keys,
    key: &str,
) -> Result<Option<Entry>, Fail> {
    let question = RangeRequest { key: keys.full(key), ..RangeRequest::default() };
    let answer: RangeResponse = client.call(link, RANGE, &question).await?;
    Ok(answer.kvs.first().and_then(|kv| keys.entry(kv).ok()))
}

/// Raises a revision and returns it, as APISIX does it.
pub(super) async fn new_id(client: &Client, link: &Link, keys: &Keys) -> Result<u64, Fail> {
    let (key, value) = (keys.full(NEW_ID), Bytes::from_static(b"1"));
    let question = PutRequest { key, value, ..PutRequest::default() };
    let answer: PutResponse = client.call(link, "/etcdserverpb.KV/Put", &question).await?;
    header(answer.header).map(|header| positive(header.revision))
}

/// All keys that begin so, as they were at one revision.
pub(super) async fn all(
    client: &Client,
    link: &Link,
    keys: &Keys,
    prefix: &str,
) -> Result<Held, Fail> {
    let mut begun = 1;
    loop {
        match pages(client, link, keys.range(prefix), (keys, 0)).await {
            Err(fail) if fail.is_compacted() && begun < BEGUN_MAX => begun += 1,
            done => return done,
        }
    }
}

/// At a revision of the past, or at the newest for 0.
async fn pages(
    client: &Client,
    link: &Link,
    (key, range_end): (Bytes, Bytes),
    (keys, revision): (&Keys, i64),
) -> Result<Held, Fail> {
    let mut held = Held::default();
    let mut question =
        RangeRequest { key, range_end, limit: PAGE, revision, ..RangeRequest::default() };
    loop {
        let answer: RangeResponse = match client.call(link, RANGE, &question).await {
            // Large values: fewer of them at once.
            Err(Fail::TooLong(_)) if question.limit > 1 => {
                question.limit /= 4;
                question.limit = question.limit.max(1);
                continue;
            }
            answer => answer?,
        };
        let header = header(answer.header)?;
        if question.revision == 0 {
            question.revision = header.revision;
        }
        if held.revision == 0 {
            held = Held::of(header.cluster_id, positive(question.revision));
            held.term = header.raft_term;
        } else if held.cluster != header.cluster_id {
            return Err(Fail::Nonsense("became another cluster within a listing".to_owned()));
        }
        for kv in &answer.kvs {
            held.add(keys, kv)?;
        }
        let last = answer.kvs.last().filter(|_| answer.more);
        let Some(KeyValue { key, .. }) = last else { return Ok(held) };
        // The first key after it.
        question.key = [key, &[0][..]].concat().into();
    }
}

/// Whether what is held is this etcd's past.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// It is. What has been told when this is reached is all that there is now.
    Same(Goal),
    /// Nobody can tell any more, since it was compacted.
    Forgotten,
    /// It is not: how that shows.
    Other(&'static str),
}

/// A state of etcd that is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    revision: u64,
    /// Revision of the last write below the prefix that is still there, and how many keys are.
    newest: u64,
    count: usize,
}

impl Goal {
    /// Whether nothing is missing. The revision itself may be of a write elsewhere, of which
    /// nobody tells. But when the last write is known, only deletions can be missing, and they
    /// show in the number of keys.
    pub(super) fn is_reached_by(&self, held: &Held) -> bool {
        held.revision >= self.revision
            || (held.revision >= self.newest && held.count() == self.count)
    }
}

fn asked_range(responses: &mut dyn Iterator<Item = proto::ResponseOp>) -> Option<RangeResponse> {
    match responses.next()?.response? {
        Response::Range(range) => Some(range),
        _ => None,
    }
}

/// Asks etcd whether it remembers what we hold. One that was wiped, or restored from an older
/// copy, may have our revision again, with the same name of the cluster but with other content.
/// A watch from there would mix the two.
pub(super) async fn past(
    client: &Client,
    link: &Link,
    keys: &Keys,
    shared: &Shared,
) -> Result<Past, Fail> {
    let known = shared.held(|held| held.known());
    let (key, range_end) = keys.range("");
    let revision = i64::try_from(known.revision).unwrap_or(0);
    let count = RangeRequest { key, range_end, revision, count_only: true, ..Default::default() };
    let asked = known.sample.iter().map(|entry| {
        let key = keys.full(&entry.key);
        Request::Range(RangeRequest { key, revision, ..RangeRequest::default() })
    });
    let asked = [Request::Range(count.clone())].into_iter().chain(asked);
    let question = TxnRequest { success: asked.map(Into::into).collect(), ..Default::default() };
    let answer: TxnResponse = match client.call(link, TXN, &question).await {
        Err(fail) => return other(fail),
        Ok(answer) => answer,
    };
    let now = header(answer.header)?;
    if now.cluster_id != known.cluster {
        return Ok(Past::Other(ANOTHER));
    }
    if now.raft_term < known.term {
        return Ok(Past::Other("began anew"));
    }
    let mut responses = answer.responses.into_iter();
    let counted = asked_range(&mut responses).map(|range| positive(range.count));
    let mut same = counted == u64::try_from(known.count).ok();
    for entry in &known.sample {
        let range = asked_range(&mut responses);
        let found = range.and_then(|range| keys.entry(range.kvs.first()?).ok());
        same &= found.as_ref() == Some(entry);
    }
    if !same {
        return Ok(Past::Other("has another past"));
    }
    if known.count <= COMPARED_MAX {
        match pages(client, link, keys.range(""), (keys, revision)).await {
            Err(fail) => return other(fail),
            Ok(then) if shared.held(|held| held.entries != then.entries) => {
                return Ok(Past::Other("has another past"));
            }
            Ok(_) => {}
        }
    }
    let now = positive(now.revision);
    if now <= known.revision {
        return Ok(Past::Same(Goal { revision: now, newest: now, count: known.count }));
    }
    goal(client, link, count, now).await
}

/// Failures that tell of another past.
fn other(fail: Fail) -> Result<Past, Fail> {
    if fail.is_compacted() {
        return Ok(Past::Forgotten);
    }
    if fail.is_future() {
        return Ok(Past::Other(WENT_BACK));
    }
    Err(fail)
}

async fn goal(
    client: &Client,
    link: &Link,
    mut question: RangeRequest,
    now: u64,
) -> Result<Past, Fail> {
    question.revision = i64::try_from(now).unwrap_or(0);
    question.count_only = false;
    question.keys_only = true;
    question.limit = 1;
    question.sort_order = proto::DESCEND;
    question.sort_target = proto::BY_MODIFIED;
    let answer: RangeResponse = match client.call(link, RANGE, &question).await {
        Err(fail) => return other(fail),
        Ok(answer) => answer,
    };
    let newest = answer.kvs.first().map_or(0, |kv| positive(kv.mod_revision));
    let count = usize::try_from(answer.count).unwrap_or(0);
    Ok(Past::Same(Goal { revision: now, newest, count }))
}

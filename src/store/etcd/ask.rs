//! Questions to etcd: listings in pages, single keys, and whether it is still the same etcd.

use bytes::Bytes;

use super::{
    client::{Client, Link},
    fail::Fail,
    held::Held,
    keys::{Keys, NEW_ID, positive},
    proto::{
        self, Header, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse, Request,
        RequestOp, Response, TxnRequest, TxnResponse,
    },
};
use crate::store::Entry;

const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";

/// Keys of one page.
const PAGE: i64 = 1000;

/// How often a listing is begun anew when etcd was compacted in the middle of it.
const BEGUN_MAX: usize = 5;

pub(super) fn header(header: Option<Header>) -> Result<(u64, u64), Fail> {
    let header = header.ok_or_else(|| Fail::Nonsense("an answer without a header".to_owned()))?;
    Ok((header.cluster_id, positive(header.revision)))
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
    header(answer.header).map(|(_, revision)| revision)
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
        match pages(client, link, keys, prefix).await {
            Err(fail) if fail.is_compacted() && begun < BEGUN_MAX => begun += 1,
            done => return done,
        }
    }
}

async fn pages(client: &Client, link: &Link, keys: &Keys, prefix: &str) -> Result<Held, Fail> {
    let mut held = Held::default();
    let (key, range_end) = keys.range(prefix);
    let mut question = RangeRequest { key, range_end, limit: PAGE, ..RangeRequest::default() };
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
        let (cluster, revision) = header(answer.header)?;
        if question.revision == 0 {
            (held.cluster, held.revision) = (cluster, revision);
            question.revision = i64::try_from(revision).unwrap_or(0);
        } else if held.cluster != cluster {
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
    /// It is not, or nobody can tell any more: why.
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
    held: &Held,
) -> Result<Past, Fail> {
    let (key, range_end) = keys.range("");
    let revision = i64::try_from(held.revision).unwrap_or(0);
    let count = RangeRequest { key, range_end, revision, count_only: true, ..Default::default() };
    let mut success = vec![RequestOp::from(Request::Range(count.clone()))];
    let newest = held.newest();
    if let Some(newest) = newest {
        let key = keys.full(&newest.key);
        let range = RangeRequest { key, revision, ..RangeRequest::default() };
        success.push(RequestOp::from(Request::Range(range)));
    }
    let question = TxnRequest { success, ..TxnRequest::default() };
    let answer: TxnResponse = match client.call(link, TXN, &question).await {
        Err(fail) if fail.is_compacted() => return Ok(Past::Other("was compacted meanwhile")),
        Err(fail) if fail.is_future() => return Ok(Past::Other("went back to an older revision")),
        answer => answer?,
    };
    let (cluster, now) = header(answer.header)?;
    if cluster != held.cluster {
        return Ok(Past::Other("is another cluster"));
    }
    let mut responses = answer.responses.into_iter();
    let counted = asked_range(&mut responses).map(|range| positive(range.count));
    if counted != u64::try_from(held.count()).ok() {
        return Ok(Past::Other("has another past"));
    }
    if let Some(newest) = newest {
        let found = asked_range(&mut responses);
        let entry = found.and_then(|range| keys.entry(range.kvs.first()?).ok());
        if entry.as_ref() != Some(newest) {
            return Ok(Past::Other("has another past"));
        }
    }
    if now <= held.revision {
        let goal = Goal { revision: now, newest: now, count: held.count() };
        return Ok(Past::Same(goal));
    }
    goal(client, link, count, now).await
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
        Err(fail) if fail.is_compacted() => return Ok(Past::Other("was compacted meanwhile")),
        answer => answer?,
    };
    let newest = answer.kvs.first().map_or(0, |kv| positive(kv.mod_revision));
    let count = usize::try_from(answer.count).unwrap_or(0);
    Ok(Past::Same(Goal { revision: now, newest, count }))
}

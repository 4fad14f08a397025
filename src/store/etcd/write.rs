//! A [`Write`] as one transaction of etcd.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use super::{
    ask::{self, TXN},
    client::{Client, Link},
    fail::Fail,
    keys::{Keys, positive},
    proto::{
        self, Against, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseGrantResponse,
        LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, RangeRequest, Request, RequestOp,
        Response, ResponseOp, TxnRequest, TxnResponse,
    },
};
use crate::store::{Expect, Op, StoreError, Write, Written};

/// Why nothing was written, or nobody knows.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// A condition did not hold.
    Store(StoreError),
    /// The call failed.
    Call(Fail),
}

impl From<Fail> for Unwritten {
    fn from(fail: Fail) -> Self {
        Self::Call(fail)
    }
}

/// Writes, all or nothing.
pub(super) async fn write(
    client: &Client,
    link: &Link,
    keys: &Keys,
    write: &Write,
) -> Result<Written, Unwritten> {
    let leases = grant(client, link, &write.ops).await.map_err(|fail| match fail {
        // A lease that nobody uses is no write.
        Fail::Broken(why) => Fail::NotSent(why),
        fail => fail,
    })?;
    let done = transact(client, link, keys, (write, &leases)).await;
    if done.is_err() {
        // Unused ones would go by themselves, only later.
        for id in leases.into_iter().flatten() {
            let path = "/etcdserverpb.Lease/LeaseRevoke";
            let question = LeaseRevokeRequest { id };
            let _ = client.call::<LeaseRevokeResponse>(link, path, &question).await;
        }
    }
    done
}

/// One lease for each step that has a time to live.
async fn grant(client: &Client, link: &Link, ops: &[Op]) -> Result<Vec<Option<i64>>, Fail> {
    let mut leases = Vec::new();
    for op in ops {
        let Op::Put { ttl: Some(ttl), .. } = op else {
            leases.push(None);
            continue;
        };
        let question = LeaseGrantRequest { ttl: seconds(*ttl) };
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let answer: LeaseGrantResponse = client.call(link, path, &question).await?;
        if !answer.error.is_empty() {
            return Err(Fail::Nonsense(answer.error));
        }
        leases.push(Some(answer.id));
    }
    Ok(leases)
}

/// Whole ones, not fewer than asked for. etcd counts in seconds.
fn seconds(ttl: Duration) -> i64 {
    let more = u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(ttl.as_secs().saturating_add(more)).unwrap_or(i64::MAX).max(1)
}

async fn transact(
    client: &Client,
    link: &Link,
    keys: &Keys,
    (write, leases): (&Write, &[Option<i64>]),
) -> Result<Written, Unwritten> {
    let compare = write.when.iter().map(|(key, expect)| compare(keys.full(key), *expect)).collect();
    let plan = Plan::new(&write.ops);
    let success = plan.requests(keys, &write.ops, leases);
    let failure = write.when.iter().map(|(key, _)| {
        let key = keys.full(key);
        Request::Range(RangeRequest { key, keys_only: true, ..RangeRequest::default() }).into()
    });
    let question = TxnRequest { compare, success, failure: failure.collect() };
    let answer: TxnResponse = client.call(link, TXN, &question).await?;
    if !answer.succeeded {
        let key = conflict(write, &answer.responses);
        return Err(Unwritten::Store(StoreError::Conflict(key)));
    }
    let revision = positive(ask::header(answer.header)?.revision);
    let before = plan.before(&write.ops, &answer.responses);
    let before = before.ok_or_else(|| {
        Fail::Nonsense("answers a transaction with other answers than asked for".to_owned())
    })?;
    Ok(Written { revision, before })
}

fn compare(key: Bytes, expect: Expect) -> Compare {
    let (result, target, against) = match expect {
        Expect::Absent => (proto::EQUAL, proto::CREATED, Against::CreateRevision(0)),
        Expect::Present => (proto::GREATER, proto::CREATED, Against::CreateRevision(0)),
        Expect::Modified(revision) => {
            let revision = i64::try_from(revision).unwrap_or(i64::MAX);
            (proto::EQUAL, proto::MODIFIED, Against::ModRevision(revision))
        }
    };
    Compare { result, target, key, against: Some(against) }
}

/// The first key that is not as expected.
fn conflict(write: &Write, responses: &[ResponseOp]) -> String {
    let mut pairs = write.when.iter().zip(responses);
    let wrong = pairs.find(|((_, expect), response)| {
        let Some(Response::Range(range)) = &response.response else { return false };
        let modified = range.kvs.first().map(|kv| positive(kv.mod_revision));
        match expect {
            Expect::Absent => modified.is_some(),
            Expect::Present => modified.is_none(),
            Expect::Modified(revision) => modified != Some(*revision),
        }
    });
    let key = wrong.map(|((key, _), _)| key).or(write.when.first().map(|(key, _)| key));
    key.cloned().unwrap_or_default()
}

/// How steps become requests.
///
/// etcd refuses a transaction that touches a key twice, but for deleting it. Steps that do are
/// brought down to what they come to, and what was there before is asked for in front of them.
#[derive(Debug)]
enum Plan<'o> {
    /// Each step is one request.
    Apart,
    /// Steps meet.
    Meeting {
        /// Each key that is named, and the step that puts it if it is there in the end.
        keys: BTreeMap<&'o str, Option<usize>>,
        /// Each prefix that is deleted.
        prefixes: BTreeSet<&'o str>,
    },
}

impl<'o> Plan<'o> {
    fn new(ops: &'o [Op]) -> Self {
        let mut keys: BTreeMap<&str, Option<usize>> = BTreeMap::new();
        let mut prefixes = BTreeSet::new();
        let mut meet = false;
        for (at, op) in ops.iter().enumerate() {
            match op {
                Op::Put { key, .. } => meet |= keys.insert(key, Some(at)).is_some(),
                Op::Delete(key) => meet |= keys.insert(key, None).is_some(),
                Op::DeletePrefix(prefix) => {
                    for (_, put) in keys.iter_mut().filter(|(key, _)| key.starts_with(prefix)) {
                        *put = None;
                    }
                    meet |= !prefixes.insert(prefix.as_str());
                }
            }
        }
        let under =
            |name: &str| prefixes.iter().filter(|prefix| name.starts_with(**prefix)).count();
        meet |= keys.keys().any(|key| under(key) > 0);
        meet |= prefixes.iter().any(|prefix| under(prefix) > 1);
        if meet { Self::Meeting { keys, prefixes } } else { Self::Apart }
    }

    fn requests(&self, of: &Keys, ops: &[Op], leases: &[Option<i64>]) -> Vec<RequestOp> {
        let put = |at: usize, prev_kv| match ops.get(at) {
            Some(Op::Put { key, value, .. }) => {
                let (key, value) = (of.full(key), Bytes::from(value.clone()));
                let lease = leases.get(at).copied().flatten().unwrap_or(0);
                Some(RequestOp::from(Request::Put(PutRequest { key, value, lease, prev_kv })))
            }
            _ => None,
        };
        let delete = |(key, range_end)| {
            RequestOp::from(Request::DeleteRange(DeleteRangeRequest { key, range_end }))
        };
        let Self::Meeting { keys, prefixes } = self else {
            let request = |(at, op): (usize, &Op)| match op {
                Op::Put { .. } => put(at, true),
                Op::Delete(key) => Some(delete((of.full(key), Bytes::new()))),
                Op::DeletePrefix(prefix) => Some(delete(of.range(prefix))),
            };
            return ops.iter().enumerate().filter_map(request).collect();
        };
        let count = |(key, range_end)| {
            let range = RangeRequest { key, range_end, count_only: true, ..Default::default() };
            RequestOp::from(Request::Range(range))
        };
        let mut requests: Vec<RequestOp> =
            keys.keys().map(|key| count((of.full(key), Bytes::new()))).collect();
        requests.extend(prefixes.iter().map(|prefix| count(of.range(prefix))));
        for prefix in prefixes {
            // Around the keys that are there in the end.
            let (mut first, end) = of.range(prefix);
            let kept = keys.iter().filter(|(key, put)| put.is_some() && key.starts_with(prefix));
            for (key, _) in kept {
                let key = of.full(key);
                if first < key {
                    requests.push(delete((first, key.clone())));
                }
                first = [&key[..], &[0][..]].concat().into();
            }
            requests.push(delete((first, end)));
        }
        for (key, last) in keys {
            requests.extend(match last {
                Some(at) => put(*at, false),
                None => Some(delete((of.full(key), Bytes::new()))),
            });
        }
        requests
    }

    /// Of each step, how many keys it met.
    fn before(&self, ops: &[Op], responses: &[ResponseOp]) -> Option<Vec<usize>> {
        let Self::Meeting { keys, prefixes } = self else {
            let met = ops.iter().enumerate().map(|(at, _)| met(responses.get(at)?));
            return met.collect();
        };
        let mut counts = responses.iter().map(met);
        let mut there = BTreeMap::new();
        for key in keys.keys() {
            there.insert(key.to_string(), counts.next()?? > 0);
        }
        // Those of each prefix that no step names.
        let mut others = BTreeMap::new();
        for prefix in prefixes {
            let named = there.iter().filter(|(key, there)| **there && key.starts_with(prefix));
            others.insert(*prefix, counts.next()??.saturating_sub(named.count()));
        }
        let mut step = |op: &Op| match op {
            Op::Put { key, .. } => there.insert(key.clone(), true).map(usize::from),
            Op::Delete(key) => there.insert(key.clone(), false).map(usize::from),
            Op::DeletePrefix(prefix) => {
                let prefix = prefix.as_str();
                let mut named = 0;
                for (_, there) in there.iter_mut().filter(|(key, _)| key.starts_with(prefix)) {
                    named += usize::from(std::mem::take(there));
                }
                let rest = *others.get(prefix)?;
                for (other, count) in &mut others {
                    if other.starts_with(prefix) {
                        *count = 0;
                    } else if prefix.starts_with(other) {
                        *count = count.saturating_sub(rest);
                    }
                }
                Some(named + rest)
            }
        };
        ops.iter().map(&mut step).collect()
    }
}

fn met(response: &ResponseOp) -> Option<usize> {
    match response.response.as_ref()? {
        Response::Put(put) => Some(usize::from(put.prev_kv.is_some())),
        Response::DeleteRange(deleted) => usize::try_from(deleted.deleted).ok(),
        Response::Range(range) => usize::try_from(range.count).ok(),
    }
}

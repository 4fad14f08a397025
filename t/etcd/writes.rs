//! Writes of ours and of others.

use moongate::store::{Expect, Op, Store, StoreError};

use crate::{
    seen::{Tried, block, options, put},
    server::{Folder, Server, eventually},
};

#[test]
fn a_write_happens_as_a_whole_or_not_at_all() {
    let folder = Folder::new("writes");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let first = tried.put("routes/1", "{}").unwrap();
    assert_eq!(first.before, [0]);
    assert_eq!(tried.put("routes/1", "{\"a\":1}").unwrap().before, [1]);

    let when = |key: &str, expect| vec![(key.to_owned(), expect)];
    let conflict = |key: &str| Err(StoreError::Conflict(key.to_owned()));
    let put_two = || vec![put("routes/2", "{}")];
    assert_eq!(tried.write(when("routes/1", Expect::Absent), put_two()), conflict("routes/1"));
    assert_eq!(tried.write(when("routes/9", Expect::Present), put_two()), conflict("routes/9"));
    let old = Expect::Modified(first.revision);
    assert_eq!(tried.write(when("routes/1", old), put_two()), conflict("routes/1"));
    assert_eq!(tried.get("routes/2"), None);
    let new = Expect::Modified(block(tried.store.get("routes/1")).unwrap().unwrap().modified);
    let mut both = when("routes/1", new);
    both.extend(when("routes/2", Expect::Absent));
    let written = tried.write(both, put_two()).unwrap();
    assert_eq!(written.revision, first.revision + 2);

    for number in 3..8 {
        tried.put(&format!("routes/{number}"), "{}").unwrap();
    }
    let ops = vec![Op::DeletePrefix("routes/".to_owned()), Op::Delete("services/1".to_owned())];
    assert_eq!(tried.write(Vec::new(), ops).unwrap().before, [7, 0]);
    tried.until("all are gone", |seen| seen.content.is_empty() && seen.revision > 0);
    let listing = block(tried.store.list("")).unwrap();
    assert!(listing.entries.is_empty());
    let id = block(tried.store.new_id()).unwrap();
    assert_eq!(block(tried.store.new_id()).unwrap(), id + 1);
    assert_eq!(server.ctl(&["get", "--print-value-only", "/apisix/gen_id"]).trim(), "1");
    assert_eq!(tried.get("gen_id"), None);
}

#[test]
fn what_lives_for_a_time_goes_by_itself() {
    let folder = Folder::new("ttl");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let ttl = Some(std::time::Duration::from_millis(1500));
    let op = Op::Put { key: "routes/1".to_owned(), value: "{}".to_owned(), ttl };
    tried.write(Vec::new(), vec![op.clone()]).unwrap();
    assert!(tried.get("routes/1").is_some());
    tried.until("it is gone", |seen| seen.revision > 0 && seen.content.is_empty());
    // One that was refused leaves no lease behind.
    let when = vec![("routes/1".to_owned(), Expect::Present)];
    assert!(tried.write(when, vec![op]).is_err());
    eventually("no lease", || server.ctl(&["lease", "list"]).starts_with("found 0"));
}

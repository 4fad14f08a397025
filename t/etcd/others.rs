//! What others write: in which order it is told, how much at once, and when it is garbage.

use moongate::store::{Batch, Store};

use crate::{
    seen::{Tried, block, options},
    server::{Folder, Proxy, Server},
};

#[test]
fn writes_of_another_client_are_told_in_order_and_whole() {
    let folder = Folder::new("order");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    server.put("routes/1", "{}");
    server.txn("put /apisix/routes/2 {}\ndel /apisix/routes/1\nput /apisix/routes/3 {}");
    server.ctl(&["put", "/apisixother/routes/1", "{}"]);
    server.put("routes/2", "{\"a\":1}");
    server.ctl(&["del", "--prefix", "/apisix/routes/"]);
    server.put("plugins", "[]");
    tried.until("the last", |seen| seen.value("plugins").is_some());
    let seen = tried.seen.lock().unwrap();
    let mut revisions = std::collections::BTreeMap::<u64, usize>::new();
    let mut told = Vec::new();
    for batch in &seen.batches {
        let Batch::Changes { changes, .. } = batch else { continue };
        let mut of_batch = std::collections::BTreeSet::new();
        for change in changes {
            let (text, revision) = match change {
                moongate::store::Change::Put(entry) => (format!("+{}", entry.key), entry.modified),
                moongate::store::Change::Delete { key, revision } => (format!("-{key}"), *revision),
            };
            told.push(text);
            of_batch.insert(revision);
        }
        for revision in of_batch {
            *revisions.entry(revision).or_default() += 1;
        }
    }
    told[1..4].sort();
    told[5..7].sort();
    assert_eq!(
        told,
        [
            "+routes/1",
            "+routes/2",
            "+routes/3",
            "-routes/1",
            "+routes/2",
            "-routes/2",
            "-routes/3",
            "+plugins"
        ]
    );
    assert!(revisions.values().all(|batches| *batches == 1), "no revision is torn");
}

#[test]
fn large_and_many_keys_come_in_pages_and_parts() {
    let folder = Folder::new("large");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let writer = Tried::ready(options(&[server.url()]), None);
    let tried = Tried::ready(options(&[proxy.url()]), None);
    proxy.cut();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    // Together more than one message may hold, and more keys than one page.
    let large = format!("\"{}\"", "x".repeat(300_000));
    for number in 0..50 {
        writer.put(&format!("protos/{number}"), &large).unwrap();
    }
    writer.fill((0..2500).map(|number| format!("routes/{number}")), "{}");
    // etcd says about 1.5 MB at once, so parts end in the middle of these revisions.
    for first in 0..8 {
        let op = |number| crate::seen::put(&format!("protos/{number}"), &large);
        writer.write(Vec::new(), (first..first + 3).map(op).collect()).unwrap();
    }
    server.ctl(&["del", "--prefix", "/apisix/routes/1"]);
    proxy.pass();
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let fresh = Tried::ready(options(&[proxy.url()]), None);
    let (seen, fresh) = (tried.seen.lock().unwrap(), fresh.seen.lock().unwrap());
    assert_eq!(seen.alls(), 1);
    assert_eq!(seen.content.len(), 50 + 2500 - 1111);
    assert!(seen.content == fresh.content);
    let listing = block(writer.store.list("protos/1")).unwrap();
    assert_eq!(listing.entries.len(), 11);
    assert!(listing.entries.iter().all(|entry| *entry.value == *large));
}

#[test]
fn a_write_above_what_etcd_takes_says_so() {
    let folder = Folder::new("huge");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    for error in [
        tried.put("routes/1", &"x".repeat(3 << 20)).unwrap_err(),
        tried
            .write(Vec::new(), (0..200).map(|n| crate::seen::put(&format!("r/{n}"), "1")).collect())
            .unwrap_err(),
    ] {
        assert!(matches!(error, moongate::store::StoreError::TooLarge(_)), "{error:?}");
    }
    assert!(tried.put("routes/1", "{}").is_ok());
}

#[test]
fn garbage_is_told_under_its_key_and_takes_nothing_else_away() {
    let folder = Folder::new("garbage");
    let server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    server.put("routes/", "init_dir");
    server.put_bytes(b"/apisix/routes/2", b"{\"uri\":\"/\xff\"}");
    server.put_bytes(b"/apisix/routes/\xfe3", b"{}");
    server.put_bytes(b"/apisix/routes/4", b"");
    let file = folder.0.join("snapshot");
    let tried = Tried::ready(options(&[server.url()]), Some(file.clone()));
    let check = |tried: &Tried| {
        let seen = tried.seen.lock().unwrap();
        assert_eq!(seen.content.len(), 4, "{:?}", seen.content);
        assert_eq!(seen.value("routes/1"), Some("{}"));
        let text = "\u{FFFD}unreadable: not UTF-8 at byte 9 of 12";
        assert_eq!(seen.value("routes/2"), Some(text));
        assert!(text.starts_with(moongate::store::UNREADABLE));
        let text = "\u{FFFD}unreadable: its key is not UTF-8";
        assert_eq!(seen.value("routes/\\xfe3"), Some(text));
        assert_eq!(seen.value("routes/4"), Some(""));
    };
    check(&tried);
    server.put_bytes(b"/apisix/routes/1", b"\xc3");
    tried.until("it is garbage now", |seen| {
        seen.value("routes/1") == Some("\u{FFFD}unreadable: not UTF-8 at byte 0 of 1")
    });
    server.put("routes/1", "{}");
    tried.until("it is good again", |seen| seen.value("routes/1") == Some("{}"));
    drop(tried);
    check(&Tried::ready(options(&[server.url()]), Some(file)));
}

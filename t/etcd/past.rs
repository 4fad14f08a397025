//! An etcd that is not what it was: compacted, wiped, restored, or another one.

use moongate::store::Store as _;

use crate::{
    seen::{Tried, block, options},
    server::{Folder, Proxy, Server},
};

/// A store behind a proxy, with some routes.
fn behind(server: &Server, proxy: &Proxy) -> Tried {
    for key in ["routes/1", "routes/2"] {
        server.put(key, "{}");
    }
    Tried::ready(options(&[proxy.url()]), None)
}

#[test]
fn what_was_compacted_while_we_were_away_is_read_anew() {
    let folder = Folder::new("compacted");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let tried = behind(&server, &proxy);
    proxy.cut();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    server.ctl(&["del", "/apisix/routes/1"]);
    server.put("routes/3", "{}");
    server.ctl(&["compact", &server.revision().to_string()]);
    proxy.pass();
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let seen = tried.seen.lock().unwrap();
    assert_eq!(seen.alls(), 2);
    assert!(seen.content.keys().eq(["routes/2", "routes/3"]), "{:?}", seen.content);
}

#[test]
fn what_others_do_elsewhere_hides_no_change_of_ours() {
    let folder = Folder::new("elsewhere");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let tried = behind(&server, &proxy);
    for round in 0..3 {
        proxy.cut();
        tried.until("the loss is told", |seen| seen.lost.is_some());
        match round {
            // Something of ours in between, only a deletion of ours, nothing of ours.
            0 => server.put("routes/2", "{\"a\":1}"),
            1 => drop(server.ctl(&["del", "/apisix/routes/1"])),
            _ => {}
        }
        server.ctl(&["put", "/elsewhere", "x"]);
        proxy.pass();
        tried.until("etcd is found", |seen| seen.lost.is_none());
        // Found means that nothing is missing.
        let seen = tried.seen.lock().unwrap();
        assert_eq!(seen.value("routes/2"), Some("{\"a\":1}"));
        assert_eq!(seen.content.len(), if round == 0 { 2 } else { 1 });
        assert_eq!(seen.alls(), 1);
    }
}

#[test]
fn a_wiped_etcd_is_read_anew_and_never_mixed() {
    let folder = Folder::new("wiped");
    let mut server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    server.put("routes/2", "{}");
    let tried = Tried::ready(options(&[server.url()]), None);
    let revision = tried.seen.lock().unwrap().revision;
    // The same name of the cluster, the same number of keys, and a greater revision: only the
    // past tells that it is another.
    server.wipe();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    let alls = tried.seen.lock().unwrap().alls();
    server.start();
    server.txn("put /apisix/routes/7 {}\nput /apisix/routes/8 {}");
    while server.revision() <= revision + 1 {
        server.ctl(&["put", "/elsewhere", "x"]);
    }
    tried.until("the new content", |seen| {
        seen.lost.is_none() && seen.content.keys().eq(["routes/7", "routes/8"])
    });
    assert!(tried.seen.lock().unwrap().alls() > alls);
    server.put("routes/9", "{}");
    tried.until("it is followed", |seen| seen.content.len() == 3);
}

#[test]
fn a_wiped_etcd_that_came_further_than_we_were_is_noticed() {
    let folder = Folder::new("further");
    let mut server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let tried = behind(&server, &proxy);
    let revision = tried.seen.lock().unwrap().revision;
    proxy.cut();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    server.wipe();
    server.start();
    // As many keys at our revision, and the last written has the same name.
    server.put("routes/0", "{}");
    server.put("routes/2", "{\"of\":\"another\"}");
    assert_eq!(server.revision(), revision);
    server.put("routes/5", "{}");
    proxy.pass();
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let seen = tried.seen.lock().unwrap();
    assert!(seen.content.keys().eq(["routes/0", "routes/2", "routes/5"]), "{:?}", seen.content);
    assert_eq!(seen.value("routes/2"), Some("{\"of\":\"another\"}"));
}

#[test]
fn a_wiped_etcd_that_was_filled_by_the_same_script_but_for_a_value_is_noticed() {
    let folder = Folder::new("script");
    let mut server = Server::alone(&folder.0);
    let fill = |server: &Server, second: &str| {
        for (key, value) in [("routes/1", "{}"), ("routes/2", second), ("routes/3", "{}")] {
            server.put(key, value);
        }
    };
    fill(&server, "{}");
    let proxy = Proxy::new(server.port);
    let tried = Tried::ready(options(&[proxy.url()]), None);
    proxy.cut();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    server.wipe();
    server.start();
    fill(&server, "{\"a\":1}");
    proxy.pass();
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let seen = tried.seen.lock().unwrap();
    assert_eq!((seen.alls(), seen.value("routes/2")), (2, Some("{\"a\":1}")));
}

#[test]
fn another_cluster_under_the_same_address_is_read_anew() {
    let folder = Folder::new("another");
    let mut server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    let tried = Tried::ready(options(&[server.url()]), None);
    server.wipe();
    server.be_another();
    server.start();
    server.put("routes/1", "{}");
    tried.until("it is told anew", |seen| seen.lost.is_none() && seen.alls() > 1);
    server.put("routes/2", "{}");
    tried.until("it is followed", |seen| seen.content.len() == 2);
}

#[test]
fn an_etcd_that_went_back_to_a_backup_is_read_anew() {
    let folder = Folder::new("backup");
    let mut server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    server.kill();
    server.copy_data(&folder.0.join("backup"));
    server.start();
    let tried = Tried::ready(options(&[server.url()]), Some(folder.0.join("snapshot")));
    server.put("routes/2", "{}");
    tried.until("the change", |seen| seen.content.len() == 2);
    server.kill();
    server.restore_data(&folder.0.join("backup"));
    server.start();
    tried.until("only what the backup had", |seen| {
        seen.lost.is_none() && seen.content.keys().eq(["routes/1"])
    });
    assert_eq!(tried.get("routes/2"), None);
}

#[test]
fn a_wiped_etcd_takes_nothing_away_until_somebody_puts_a_key_there() {
    let folder = Folder::new("emptied");
    let mut server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    let tried = Tried::ready(options(&[server.url()]), None);
    server.wipe();
    server.start();
    tried.until("the loss is told", |seen| {
        seen.lost.as_ref().is_some_and(|why| why.contains("has nothing below \"/apisix\""))
    });
    assert_eq!(tried.seen.lock().unwrap().value("routes/1"), Some("{}"));
    // What is written now would be all there is.
    let why = tried.put("routes/2", "{}").unwrap_err().to_string();
    assert!(why.contains("etcd lost what serves"), "{why}");
    assert!(block(tried.store.new_id()).is_err());
    assert_eq!(server.ctl(&["get", "/apisix", "--prefix"]), "");
    server.put("routes/", "init_dir");
    tried.until("it is begun anew", |seen| seen.lost.is_none() && seen.content.is_empty());
    assert!(tried.put("routes/2", "{}").is_ok());
    tried.until("it is followed", |seen| seen.content.keys().eq(["routes/2"]));
}

#[test]
fn a_start_with_a_wiped_etcd_serves_the_snapshot_until_etcd_is_restored() {
    let folder = Folder::new("emptied-start");
    let mut server = Server::alone(&folder.0);
    let snapshot = Some(folder.0.join("snapshot"));
    let tried = Tried::ready(options(&[server.url()]), snapshot.clone());
    tried.fill((0..3).map(|at| format!("routes/{at}")), "{}");
    tried.until("all of it", |seen| seen.content.len() == 3);
    server.kill();
    server.copy_data(&folder.0.join("backup"));
    server.start();
    drop(tried);
    server.wipe();
    server.start();
    let tried = Tried::new(options(&[server.url()]), snapshot.clone());
    tried.until("the snapshot", |seen| seen.content.len() == 3 && seen.lost.is_some());
    let why = tried.seen.lock().unwrap().lost.clone().unwrap();
    assert!(why.contains("went back to an older revision"), "{why}");
    assert!(why.contains("what serves is the snapshot of revision"), "{why}");
    assert!(tried.put("routes/9", "{}").is_err());
    server.restore_data(&folder.0.join("backup"));
    server.start();
    tried.until("it is found", |seen| seen.lost.is_none() && seen.content.len() == 3);
    assert!(tried.put("routes/9", "{}").is_ok());
    tried.until("it is followed", |seen| seen.content.len() == 4);
    drop(tried);
    // Of an etcd that can be the same, nothing at all is what somebody wanted.
    server.ctl(&["del", "/apisix", "--prefix"]);
    let tried = Tried::new(options(&[server.url()]), snapshot);
    tried.until("nothing", |seen| seen.alls() == 1 && seen.content.is_empty());
    assert!(tried.seen.lock().unwrap().lost.is_none());
}

#[test]
fn what_somebody_deleted_while_we_were_away_is_gone_also_after_a_compaction() {
    let folder = Folder::new("deleted");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let tried = behind(&server, &proxy);
    proxy.cut();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    server.ctl(&["del", "/apisix", "--prefix"]);
    server.ctl(&["compact", &server.revision().to_string()]);
    proxy.pass();
    tried.until("nothing is left", |seen| seen.lost.is_none() && seen.content.is_empty());
}

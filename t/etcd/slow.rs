//! Connections that are slow, stand still, or lead nowhere.

use std::time::{Duration, Instant};

use moongate::store::StoreError;

use crate::{
    seen::{Tried, options},
    server::{Folder, Proxy, Server},
};

#[test]
fn a_slow_etcd_is_followed_slowly() {
    let folder = Folder::new("slow");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    proxy.delay(Duration::from_millis(150));
    let tried = Tried::ready(options(&[proxy.url()]), None);
    for number in 0..3 {
        tried.put(&format!("routes/{number}"), "{}").unwrap();
    }
    tried.until("all are told", |seen| seen.content.len() == 3);
    assert_eq!(tried.seen.lock().unwrap().losts(), 0);
    assert!(proxy.came() <= 2, "one connection for all, unless this machine stood still");
}

#[test]
fn a_connection_that_leads_nowhere_is_noticed_and_writes_end_in_time() {
    let folder = Folder::new("hole");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let mut options = options(&[proxy.url()]);
    options.timeout = Duration::from_secs(2);
    options.watch_timeout = Duration::from_secs(3);
    let tried = Tried::ready(options, None);
    tried.put("routes/1", "{}").unwrap();
    tried.until("the watch tells", |seen| seen.content.len() == 1);
    proxy.black_hole();
    let begun = Instant::now();
    let error = tried.put("routes/2", "{}").unwrap_err();
    let StoreError::Unavailable(why) = error else { panic!("{error:?}") };
    assert!(why.contains("no answer within 2s"), "{why}");
    assert!(why.contains("whether it was written is not known"), "{why}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    tried.until("the loss is told", |seen| seen.lost.is_some());
    server.put("routes/3", "{}");
    proxy.pass();
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let seen = tried.seen.lock().unwrap();
    assert!(seen.value("routes/3").is_some());
    assert_eq!(seen.alls(), 1, "nothing had to be told again");
}

#[test]
fn a_silent_watch_is_kept_while_etcd_answers() {
    let folder = Folder::new("silent");
    let server = Server::alone(&folder.0);
    let proxy = Proxy::new(server.port);
    let mut options = options(&[proxy.url()]);
    options.watch_timeout = Duration::from_secs(3);
    let tried = Tried::ready(options, None);
    std::thread::sleep(Duration::from_secs(9));
    server.put("routes/1", "{}");
    tried.until("the change", |seen| seen.content.len() == 1);
    // It would be the fourth, and is the second only if this machine stood still for long.
    assert!(proxy.came() <= 2, "{} connections", proxy.came());
}

//! The file itself: whose it is, who may read it, and what happens to one that is damaged.

use super::{
    Dice, Embedded, META, OpenError, Options, Sim, Store, Temp, deaf, meta, put, rounds, texts,
    wait, write,
};
use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

fn open(temp: &Temp) -> Result<Arc<Embedded>, OpenError> {
    Embedded::open(temp.dir(), Options::default(), deaf())
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_file_is_made_for_its_owner_alone() {
    let temp = Temp::new("mode");
    let store = open(&temp).unwrap();
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    assert_eq!(mode(temp.dir()), 0o700);
    for name in ["moongate.redb", "moongate.lock"] {
        assert_eq!(mode(&temp.dir().join(name)), 0o600, "{name}");
    }
    assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 2);
    drop(store);
    let store = open(&temp).unwrap();
    assert_eq!(texts(&wait(store.list("")).unwrap()), [("a", "1")]);
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let temp = Temp::new("owner");
    let store = open(&temp).unwrap();
    let OpenError::InUse { path, by } = open(&temp).unwrap_err() else { panic!("it opened") };
    assert_eq!(path, temp.file().display().to_string());
    let by = by.unwrap();
    assert!(by.starts_with(&format!("process {} (", std::process::id())), "{by}");
    wait(store.release()).unwrap();
    let next = open(&temp).unwrap();
    wait(next.write(write(vec![put("a", "1")]))).unwrap();
    // The one that gave it away does not disturb it.
    drop(store);
    assert!(matches!(open(&temp), Err(OpenError::InUse { .. })));
    wait(next.write(write(vec![put("a", "2")]))).unwrap();
}

#[test]
fn what_was_left_of_a_start_is_no_hindrance() {
    let temp = Temp::new("left");
    fs::create_dir(temp.dir()).unwrap();
    fs::write(temp.dir().join("moongate.redb.new"), "half of it").unwrap();
    fs::write(temp.dir().join("moongate.lock"), "99999999\n").unwrap();
    drop(open(&temp).unwrap());
    assert_eq!(mode(&temp.file()), 0o600);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let temp = Temp::new("foreign");
    fs::create_dir(temp.dir()).unwrap();
    let other = {
        let path = temp.dir().join("other");
        let database = redb::Database::create(&path).unwrap();
        drop(database);
        fs::read(path).unwrap()
    };
    let newer = {
        let path = temp.dir().join("newer");
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(meta::FORMAT, 7).unwrap();
        transaction.commit().unwrap();
        drop(database);
        fs::read(path).unwrap()
    };
    for (bytes, why) in [
        (&b""[..], "empty"),
        (b"routes: []\n", ""),
        (&[0; 8192], ""),
        (&other, "not moongate's"),
        (&newer, "number 7"),
    ] {
        fs::write(temp.file(), bytes).unwrap();
        let error = open(&temp).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&temp.file().display().to_string()), "{text}");
        assert!(text.contains(why), "{text}");
        let left = fs::read(temp.file()).unwrap();
        assert_eq!(left, bytes, "{why}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let temp = Temp::new("nodir");
    fs::create_dir(temp.dir()).unwrap();
    let dir = temp.dir().join("file");
    fs::write(&dir, "").unwrap();
    let error = Embedded::open(&dir.join("data"), Options::default(), deaf()).unwrap_err();
    assert!(error.to_string().starts_with(&dir.join("data").display().to_string()), "{error}");
}

/// Bytes turn while nobody has the file open. Either that is found when it is opened, and the
/// file refused with nothing lost, or the byte meant nothing and all is there.
#[test]
fn a_damaged_file_is_refused_or_whole() {
    let sim = Sim::new();
    let open = |sim: &Sim| Embedded::start(sim.parts(), Options::default(), deaf());
    let store = open(&sim).unwrap();
    for n in 0..300 {
        let ops = vec![put(&format!("routes/{}", n % 100), &format!("{n} {}", "x".repeat(300)))];
        wait(store.write(write(ops))).unwrap();
    }
    let whole = wait(store.list("")).unwrap();
    drop(store);
    let clean = sim.bytes();
    let (mut dice, mut refused) = (Dice(5), 0);
    for round in 0..rounds(150) {
        sim.spoil(|bytes| {
            bytes.clone_from(&clean);
            match round % 3 {
                0 => bytes[dice.size(clean.len())] ^= 1 << dice.below(8),
                1 => {
                    let at = dice.size(clean.len());
                    let end = (at + dice.size(5000)).min(clean.len());
                    bytes[at..end].fill(0);
                }
                _ => bytes.truncate(dice.size(clean.len())),
            }
        });
        let spoiled = sim.bytes();
        match open(&sim) {
            Ok(store) => assert_eq!(wait(store.list("")).unwrap(), whole, "round {round}"),
            Err(OpenError::Damaged { path, .. }) => {
                assert_eq!(path, "sim");
                assert!(sim.bytes() == spoiled, "round {round}: it was written to");
                refused += 1;
            }
            Err(error) => panic!("round {round}: {error:?}"),
        }
    }
    assert!(refused > 10, "{refused}");
}

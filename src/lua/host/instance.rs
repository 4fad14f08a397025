//! The identity of this gateway, and a small thing of a request: `ngx.ctx = {}`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    rc::Rc,
    sync::OnceLock,
};

use tokio_rustls::rustls::crypto::aws_lc_rs;

use super::{NONE, ONE, flow::run_alone};
use crate::lua::{
    core::Core,
    raw::frame::{Called, Frame, Kind, Raise},
    slot,
};

/// Characters of an id that somebody wrote by hand.
const ID_CHARS_MAX: usize = 64;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "set_ngx_ctx", set_ngx_ctx)?;
    state.host_function(table, "instance_id", instance_id)
}

/// `ngx.ctx = {…}`.
fn set_ngx_ctx(frame: &mut Frame<'_>) -> Called {
    if frame.kind(1) != Kind::Table {
        return Err(Raise(format!("ctx should be a table while getting a {}", frame.type_name(1))));
    }
    let kept = frame.keep(1)?;
    if let Some(owner) = run_alone(frame)? {
        *owner.ctx.borrow_mut() = Some(kept);
        return NONE;
    }
    slot::of(frame.exchange()?).ngx_ctx = Some(kept);
    NONE
}

fn instance_id(frame: &mut Frame<'_>) -> Called {
    static ID: OnceLock<String> = OnceLock::new();
    let core = frame.core()?;
    let id = ID.get_or_init(|| id_in(&core.env.settings.prefix.join("conf/apisix.uid")));
    frame.push_str(id.as_bytes());
    ONE
}

/// The id in `file`; a new one, written there if that is possible, if there is none.
fn id_in(file: &Path) -> String {
    if let Some(known) = read_id(file) {
        return known;
    }
    let id = uuid_v4();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut file| file.write_all(id.as_bytes()));
    match written {
        Ok(()) => id,
        // Another process was faster, or nothing can be written there.
        Err(_) => read_id(file).unwrap_or(id),
    }
}

/// A random UUID, RFC 9562.
fn uuid_v4() -> String {
    let mut bytes = [0; 16];
    if aws_lc_rs::default_provider().secure_random.fill(&mut bytes).is_err() {
        // Without randomness the process and its moment have to do.
        let moment = crate::clock::wall().as_nanos() ^ (u128::from(std::process::id()) << 96);
        bytes = moment.to_be_bytes();
    }
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default()).join("-")
}

fn read_id(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let id = text.trim();
    let is_id = !id.is_empty()
        && id.len() <= ID_CHARS_MAX
        && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_found_again() {
        let dir = std::env::temp_dir().join(format!("moongate-uid-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("apisix.uid");
        let _ = fs::remove_file(&file);
        let id = id_in(&file);
        assert_eq!(id.len(), 36);
        assert_eq!(fs::read_to_string(&file).unwrap(), id);
        assert_eq!(id_in(&file), id);
        fs::write(&file, " gate-1\n").unwrap();
        assert_eq!(id_in(&file), "gate-1");
        assert_ne!(id_in(&dir.join("missing/apisix.uid")), id);
        fs::remove_dir_all(&dir).unwrap();
    }
}

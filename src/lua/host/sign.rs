//! `host.sig_*`, `host.nonce_*` and `host.body_*`: signatures of the request in flight, digests of
//! its body, and numbers used once. `core.signature` and `core.nonce` are their only callers.

use std::{future::poll_fn, rc::Rc};

use super::{NONE, ONE, push_failure, push_option};
use crate::{
    clock,
    codec::sign::{
        self, Algorithm, Bound, Claim, Digest, Hashing, Key, Message, Refused, Scheme, Select,
        SigningKey, Sums,
        order::{Order, sign},
    },
    exchange::{
        Claims, Exchange,
        body::{Body, Check, Room},
    },
    lua::{
        core::{Core, Op},
        raw::{
            co::Value,
            frame::{Called, Frame, Outcome, Raise},
            object::{self, Object},
        },
    },
    shared::nonces::{NonceKey, Seen},
    sys::scratch::Reader,
};

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let lua = core.lua();
    object::class::<Verifier>(lua, lua.create_table()?)?;
    object::class::<Signer>(lua, lua.create_table()?)?;
    let state = core.state();
    state.host_function(table, "sig_claim", sig_claim)?;
    state.host_function(table, "sig_covered", sig_covered)?;
    state.host_function(table, "sig_fingerprint", sig_fingerprint)?;
    state.host_function(table, "sig_bytes", sig_bytes)?;
    state.host_function(table, "sig_verify", sig_verify)?;
    state.host_function(table, "sig_key", sig_key)?;
    state.host_function(table, "sig_signer", sig_signer)?;
    state.host_function(table, "sig_response", sig_response)?;
    state.host_function(table, "body_hash", body_hash)?;
    state.host_function(table, "body_holds", body_holds)?;
    state.host_function(table, "body_sums", body_sums)?;
    state.host_function(table, "body_expect", body_expect)?;
    state.host_function(table, "body_matches", body_matches)?;
    state.host_function(table, "body_present", body_present)?;
    state.host_function(table, "body_tampered", body_tampered)?;
    state.host_function(table, "nonce_insert", nonce_insert)?;
    state.host_function(table, "nonce_forget", nonce_forget)
}

/// A key that Lua holds.
struct Verifier(Key);

impl Object for Verifier {
    fn tag() -> &'static u8 {
        static TAG: u8 = 12;
        &TAG
    }
}

/// A key that signs.
struct Signer(SigningKey);

impl Object for Signer {
    fn tag() -> &'static u8 {
        static TAG: u8 = 13;
        &TAG
    }
}

/// A text argument that may be nil.
fn text<'f>(frame: &Frame<'f>, at: i32) -> Result<Option<&'f str>, Raise> {
    let bytes = frame.str(at);
    bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| no_text(at))).transpose()
}

fn no_text(at: i32) -> Raise {
    Raise(format!("bad argument #{at} (UTF-8 expected)"))
}

fn need_text<'f>(frame: &Frame<'f>, at: i32, name: &str) -> Result<&'f str, Raise> {
    std::str::from_utf8(frame.need_str(at, name)?).map_err(|_| no_text(at))
}

/// Calls `then` with the request as the client sent it, but for fields that were changed since:
/// what goes upstream is what must be signed. `scheme` stands for that of the connection.
fn with_request<T>(x: &Exchange, scheme: Option<&str>, then: impl FnOnce(&Message<'_>) -> T) -> T {
    let fields: Vec<(&[u8], &[u8])> = x.head.fields.iter().collect();
    then(&Message {
        method: x.head.method(),
        scheme: scheme.unwrap_or(if x.conn.tls { "https" } else { "http" }),
        authority: x.head.host(),
        target: x.head.path_and_query(),
        fields: &fields,
        status: None,
        request: None,
    })
}

/// The claim that argument 1 is the number of. Lua holds no claim itself: its collector would
/// keep the memory of thousands of them.
fn claim_of<'x>(claims: &'x Claims, frame: &Frame<'_>, name: &str) -> Result<&'x Claim, Raise> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let number = frame.need_num(1, name)? as u64;
    claims.get(number).ok_or_else(|| Raise::new("the claim is not one of this request"))
}

/// `sig_claim(scheme, tag, label, uri_scheme)`: a number, what its body is tied by, key id,
/// algorithm, nonce, label, tag, timestamp, expires, and a text that is the same for claims that
/// cover the same; or nil, the kind of reason, and why.
fn sig_claim(frame: &mut Frame<'_>) -> Called {
    let name = need_text(frame, 1, "sig_claim")?;
    let scheme =
        Scheme::of(name).ok_or_else(|| Raise(format!("unknown signature scheme: {name}")))?;
    let select = Select { tag: text(frame, 2)?, label: text(frame, 3)? };
    let uri_scheme = text(frame, 4)?;
    let x = frame.exchange()?;
    match with_request(x, uri_scheme, |message| sign::claim(scheme, message, select)) {
        Ok(claim) => {
            #[allow(clippy::cast_precision_loss)] // No process makes so many.
            frame.push_num(x.claims.keep(claim) as f64);
            let last = x.claims.last();
            Ok(Outcome::Return(1 + last.map_or(0, |claim| push_claim(frame, claim))))
        }
        Err(Refused { reason, why }) => {
            frame.push_nil();
            frame.push_str(reason.name().as_bytes());
            frame.push_str(why.as_bytes());
            Ok(Outcome::Return(3))
        }
    }
}

/// Returns how many values were pushed.
fn push_claim(frame: &mut Frame<'_>, claim: &Claim) -> i32 {
    frame.push_str(match claim.body {
        Bound::No => b"none",
        Bound::Waived => b"waived",
        Bound::Digests(_) => b"digest",
        Bound::Within => b"within",
    });
    frame.push_str(claim.key_id.as_bytes());
    let _ = push_option(frame, claim.algorithm.map(|algorithm| algorithm.name().as_bytes()));
    for text in [&claim.nonce, &claim.label, &claim.tag] {
        let _ = push_option(frame, text.as_deref().map(str::as_bytes));
    }
    for seconds in [claim.timestamp, claim.expires] {
        match seconds {
            #[allow(clippy::cast_precision_loss)] // Fifteen digits at most.
            Some(seconds) => frame.push_num(seconds as f64),
            None => frame.push_nil(),
        }
    }
    frame.push_str(claim.covered.as_bytes());
    9
}

/// `sig_covered(claim)`: the names of what is covered, as keys.
fn sig_covered(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let claim = claim_of(&x.claims, frame, "sig_covered")?;
    frame.push_table(0, claim.covered.iter().count());
    for name in claim.covered.iter() {
        frame.push_str(name);
        frame.push_bool(true);
        frame.set_pair();
    }
    ONE
}

/// `sig_fingerprint(claim)`: what names the signed text.
fn sig_fingerprint(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let fingerprint = claim_of(&x.claims, frame, "sig_fingerprint")?.fingerprint();
    frame.push_str(&fingerprint);
    ONE
}

/// `sig_bytes(claim)`: the signature.
fn sig_bytes(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let claim = claim_of(&x.claims, frame, "sig_bytes")?;
    frame.push_str(&claim.signature);
    ONE
}

/// `sig_verify(claim, key, sha256)`
fn sig_verify(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let claim = claim_of(&x.claims, frame, "sig_verify")?;
    let key = frame.need_object::<Verifier>(2, "sig_verify")?;
    let body: Option<&[u8; 32]> = frame.str(3).and_then(|sum| sum.try_into().ok());
    let holds = claim.verify(&key.0, body);
    frame.push_bool(holds);
    ONE
}

fn algorithm(frame: &Frame<'_>, name: &str) -> Result<Algorithm, Raise> {
    let text = need_text(frame, 1, name)?;
    Algorithm::of(text).ok_or_else(|| Raise(format!("unknown signature algorithm: {text}")))
}

/// `sig_key(algorithm, text)`: a shared secret or a public key; nil and why not.
fn sig_key(frame: &mut Frame<'_>) -> Called {
    let algorithm = algorithm(frame, "sig_key")?;
    let bytes = frame.need_str(2, "sig_key")?;
    let key = match Key::secret(algorithm, bytes) {
        Some(key) => Ok(key),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Key::public(algorithm, text),
            Err(_) => Err("the public key is no text".to_owned()),
        },
    };
    match key {
        Ok(key) => frame.push_object(Verifier(key)),
        Err(why) => return push_failure(frame, &why),
    }
    ONE
}

/// `sig_signer(algorithm, text)`: a shared secret or a private key; nil and why not.
fn sig_signer(frame: &mut Frame<'_>) -> Called {
    let algorithm = algorithm(frame, "sig_signer")?;
    match SigningKey::new(algorithm, frame.need_str(2, "sig_signer")?) {
        Ok(key) => frame.push_object(Signer(key)),
        Err(why) => return push_failure(frame, &why),
    }
    ONE
}

/// `sig_response(signer, key_id, now, tag, components)`: the fields to add to the response, as
/// name, value, name, value; nil and why not.
fn sig_response(frame: &mut Frame<'_>) -> Called {
    let signer = frame.need_object::<Signer>(1, "sig_response")?;
    let key_id = need_text(frame, 2, "sig_response")?;
    let now = frame.need_num(3, "sig_response")?;
    let tag = text(frame, 4)?;
    let listed = frame.strings(5);
    let covered: Vec<&str> =
        listed.iter().filter_map(|name| std::str::from_utf8(name).ok()).collect();
    let x = frame.exchange()?;
    let fields: Vec<(&[u8], &[u8])> = x.response.fields.iter().collect();
    let made = with_request(x, None, |request| {
        let response = Message {
            fields: &fields,
            status: Some(x.response.status),
            request: Some(request),
            ..*request
        };
        #[allow(clippy::cast_possible_truncation)] // Saturates.
        let now = now as i64;
        sign(
            &response,
            &Order {
                scheme: Scheme::Rfc9421,
                key_id,
                key: &signer.0,
                now,
                lifetime: None,
                nonce: None,
                label: "moongate",
                tag,
                covered: &covered,
                region: "",
                service: "",
                body: None,
            },
        )
    });
    match made {
        Ok(added) => {
            frame.push_table(added.len() * 2, 0);
            for (n, (name, value)) in added.iter().enumerate() {
                frame.push_str(name.as_bytes());
                frame.set_index(n * 2 + 1);
                frame.push_str(value.as_bytes());
                frame.set_index(n * 2 + 2);
            }
            ONE
        }
        Err(refused) => push_failure(frame, &refused.to_string()),
    }
}

/// Which digests a claim needs.
fn wanted(claim: &Claim) -> Hashing {
    match &claim.body {
        Bound::Digests(expected) => Hashing::of(expected),
        _ => Hashing::new(true, false),
    }
}

/// `body_hash(claim, bytes_max)`: reads the body whole and makes the digests that the claim
/// needs: `true`, or `false` if it is larger, and how large if that is known. What is above the
/// size of the buffer goes to a file.
fn body_hash(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let bytes_max = frame.need_num(2, "body_hash")?.max(1.0) as u64;
    let core = frame.core()?;
    let x = frame.exchange()?;
    let hashing = wanted(claim_of(&x.claims, frame, "body_hash")?);
    let body = &mut x.body;
    let length = match (&body.held, &body.file) {
        (Some(held), _) => Some(held.len() as u64),
        (None, Some(file)) => Some(file.len()),
        (None, None) if body.present => body.length.filter(|length| *length > bytes_max),
        (None, None) => Some(0),
    };
    if let Some(length) = length {
        frame.push_bool(length <= bytes_max);
        #[allow(clippy::cast_precision_loss)] // For a message.
        frame.push_num(length as f64);
        return Ok(Outcome::Return(2));
    }
    // Whoever asked before waits for the same bytes.
    if body.check.is_none() {
        body.check = Some(Box::new(Check { hashing, expected: None }));
    }
    if body.hold_small() {
        frame.push_bool(true);
        return ONE;
    }
    core.suspend(Op::HoldBody(Room {
        bytes_max,
        memory_bytes_max: MEMORY_BYTES_MAX,
        dir: Rc::clone(&core.env.temp_dir),
    }));
    Ok(Outcome::Yield)
}

/// Bytes of a body whose digest is checked that stay in memory; what is larger goes to a file.
const MEMORY_BYTES_MAX: usize = 1 << 20;

/// `body_sums(claim)`: SHA-256 and SHA-512 of the body that was read, each if the claim needs
/// it. A file is read piece by piece.
fn body_sums(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let x = frame.exchange()?;
    let mut hashing = wanted(claim_of(&x.claims, frame, "body_sums")?);
    let body = &x.body;
    if let Some(sums) = &body.sums
        && hashing.is_in(sums)
    {
        let sums = sums.clone();
        return push_sums(frame, &sums);
    }
    if let Some(file) = &body.file {
        let reader = file.reader();
        core.suspend(Op::Wait(Box::pin(sums_of(reader, hashing))));
        return Ok(Outcome::Yield);
    }
    hashing.update(body.held.as_deref().unwrap_or_default());
    push_sums(frame, &hashing.finish())
}

async fn sums_of(mut reader: Reader, mut hashing: Hashing) -> Vec<Value> {
    loop {
        match poll_fn(|cx| reader.poll_piece(cx)).await {
            Ok(Some(piece)) => hashing.update(&piece),
            Ok(None) => break,
            Err(error) => return vec![Value::Nil, Value::Nil, Value::from(&*error.to_string())],
        }
    }
    let sums = hashing.finish();
    let value = |sum: Option<&[u8]>| sum.map_or(Value::Nil, |sum| Value::Str(sum.to_vec()));
    vec![
        value(sums.sha256.as_ref().map(<[u8; 32]>::as_slice)),
        value(sums.sha512.as_ref().map(|sum| sum.as_slice())),
    ]
}

fn push_sums(frame: &mut Frame<'_>, sums: &Sums) -> Called {
    let _ = push_option(frame, sums.sha256.as_ref().map(<[u8; 32]>::as_slice));
    let _ = push_option(frame, sums.sha512.as_ref().map(|sum| sum.as_slice()));
    Ok(Outcome::Return(2))
}

/// `body_holds(claim)`: whether the body that was read has all digests that are signed; nil for
/// one whose digests are still to be made of a file.
fn body_holds(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let Bound::Digests(expected) = &claim_of(&x.claims, frame, "body_holds")?.body else {
        return Err(Raise::new("the body has no digest that is signed"));
    };
    let mut hashing = Hashing::of(expected);
    match &x.body.sums {
        Some(sums) if hashing.is_in(sums) => frame.push_bool(sums.hold(expected)),
        _ if x.body.file.is_some() => frame.push_nil(),
        _ => {
            hashing.update(x.body.held.as_deref().unwrap_or_default());
            frame.push_bool(hashing.finish().hold(expected));
        }
    }
    ONE
}

/// `body_matches(claim, sha256, sha512)`: whether these are the digests that are signed.
fn body_matches(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let claim = claim_of(&x.claims, frame, "body_matches")?;
    let sums = Sums {
        sha256: frame.str(2).and_then(|sum| sum.try_into().ok()),
        sha512: frame.str(3).and_then(|sum| Some(Box::new(sum.try_into().ok()?))),
    };
    let holds = match &claim.body {
        Bound::Digests(expected) => sums.hold(expected),
        _ => false,
    };
    frame.push_bool(holds);
    ONE
}

/// `body_expect(claim, status, bytes_max)`: lets the body flow and checks it on its way; a body that is
/// there already is not. `true`: it flows. `false`: it is there, look at it.
fn body_expect(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let status = frame.need_num(2, "body_expect")? as u16;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let bytes_max = frame.need_num(3, "body_expect")?.max(1.0) as u64;
    let x = frame.exchange()?;
    let Bound::Digests(expected) = &claim_of(&x.claims, frame, "body_expect")?.body else {
        return Err(Raise::new("the body has no digest that is signed"));
    };
    let body = &mut x.body;
    let flows = body.present
        && body.held.is_none()
        && body.file.is_none()
        && body.length != Some(0)
        && matches!(body.incoming, Body::Stream(_));
    if flows {
        let mut expected: Vec<Digest> = expected.clone();
        // Two plugins may each want a digest of the same body.
        if let Some(before) = body.check.take().and_then(|check| check.expected) {
            expected.extend(before.0);
        }
        let hashing = Hashing::of(&expected);
        body.check = Some(Box::new(Check { hashing, expected: Some((expected, status)) }));
        let bound = x.body_bytes_max.unwrap_or(body.bytes_max);
        x.body_bytes_max = Some(if bound == 0 { bytes_max } else { bound.min(bytes_max) });
    }
    frame.push_bool(flows);
    ONE
}

/// Whether there is a body.
fn body_present(frame: &mut Frame<'_>) -> Called {
    let body = &frame.exchange()?.body;
    let present = body.present && body.length != Some(0);
    frame.push_bool(present);
    ONE
}

/// Whether a body that flowed turned out not to be the one that was signed.
fn body_tampered(frame: &mut Frame<'_>) -> Called {
    let tampered = frame.exchange()?.body.tampered;
    frame.push_bool(tampered);
    ONE
}

/// The key of the number used once that arguments 1 and 2 are: what it is unique in, and itself.
fn nonce_key(frame: &Frame<'_>, name: &str) -> Result<NonceKey, Raise> {
    let (scope, nonce) = (frame.need_str(1, name)?, frame.need_str(2, name)?);
    // No two pairs have the same text.
    let sum = sign::digest::sha256_of(&[&scope.len().to_le_bytes(), scope, nonce]);
    let (words, _) = sum.as_chunks::<8>();
    let word = |n: usize| words.get(n).map_or(0, |word| u64::from_le_bytes(*word));
    Ok([word(0), word(1)])
}

/// `nonce_insert(scope, nonce, seconds)`: `first`, `seen` or `full`.
fn nonce_insert(frame: &mut Frame<'_>) -> Called {
    let key = nonce_key(frame, "nonce_insert")?;
    let seconds = frame.need_num(3, "nonce_insert")?;
    let ttl = std::time::Duration::try_from_secs_f64(seconds)
        .map_err(|_| Raise(format!("invalid time to live: {seconds}")))?;
    let seen = frame.core()?.env.process.nonces.insert(key, clock::wall(), ttl);
    frame.push_str(match seen {
        Seen::First => b"first",
        Seen::Again => b"seen",
        Seen::Full => b"full",
    });
    ONE
}

/// `nonce_forget(scope, nonce)`
fn nonce_forget(frame: &mut Frame<'_>) -> Called {
    let key = nonce_key(frame, "nonce_forget")?;
    frame.core()?.env.process.nonces.forget(key);
    NONE
}

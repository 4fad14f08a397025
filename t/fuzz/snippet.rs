//! What must hold of configuration snippets for any bytes.

use moongate::config::snippet::{self, KEYS, Wrong};

use super::{Check, owned, repeated};

pub const CHECKS: &[Check] = &[Check {
    name: "snippet",
    run: snippet,
    samples: || owned(SNIPPETS),
    large: || LARGE_ONES.iter().map(|text| repeated(text)).collect(),
    bytes_max: |input| 512 * input + (4 << 20),
}];

/// The first byte picks the key.
const SNIPPETS: &[&[u8]] = &[
    b"\x00env A; env B=c; daemon off;",
    b"\x01lua_shared_dict x 10m; resolver 10.0.0.1 valid=5s; init_by_lua_block { a = { '}' } }\n\
      server { listen 80 default_server; server_name a *.b; location = /x { return 200 \"$host\"; } }",
    b"\x02set $a \"${b}c\"; rewrite ^/(.*)$ /x/$1? last; more_set_headers -s '404 500' \"A: b\";\n\
      location ~* \\.(js|css)$ { internal; content_by_lua_block { --[==[ } ]==] ngx.say([[}]]) } }\n\
      location @n { proxy_pass http://[::1]:9090; proxy_set_header Host $host; }",
    b"\x03rewrite_by_lua_block { local s = \"\\\"}\" } # }\nallow 10.0.0.0/8; deny all;",
    b"\x04location /y { proxy_pass https://a.b/c?d; add_header X 'y' always; }",
    b"\x06server { listen 1; }",
];

const LARGE_ONES: &[&[u8]] = &[
    b"\x02set $a b;\n",
    b"x { ",
    b"\x02location /x {} ",
    b"a b c ",
    b"\"\\",
    b"--[[",
    b"set $a $b$c$d;",
    b"server { listen 1; location /x { content_by_lua_block { { } } } } ",
    b"more_set_headers 'a: b' 'c: d' 'e: f' 'g: h'; ",
];

/// Whatever a snippet holds, it is read or refused, with the line of what is wrong.
pub fn snippet(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let key = KEYS[usize::from(*first) % KEYS.len()];
    let lines = text.matches('\n').count() + 1;
    match snippet::read(|asked| if asked == key { text } else { "" }) {
        Ok(None) => {}
        Ok(Some(said)) => {
            let locations = &said.gateway.locations;
            let all = locations.iter().chain(said.servers.iter().flat_map(|own| &own.locations));
            assert!(all.clone().all(|location| location.place.line <= lines));
            assert!(said.codes.iter().all(|code| (1..=lines).contains(&code.place.line)));
        }
        Err(wrongs) => {
            assert!(!wrongs.is_empty() && wrongs.len() <= 64);
            let sound = |wrong: &Wrong| wrong.line >= 1 && !wrong.message.is_empty();
            assert!(wrongs.iter().all(|wrong| sound(wrong) && wrong.line <= lines), "{wrongs:?}");
        }
    }
}

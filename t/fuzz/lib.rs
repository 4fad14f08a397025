//! What the fuzz targets share: each runs one check, under an allocator that counts.
//!
//! The same checks run over mutated samples in every test run; see `t/bounds.rs`.

mod checks;
mod counted;
#[allow(dead_code, reason = "only its words are used here")]
mod hunt;

use std::{collections::BTreeSet, env, fs, panic, path::Path, sync::OnceLock};

use checks::Check;

static CHECK: OnceLock<&Check> = OnceLock::new();

/// Prepares the check `name`. Its samples are written to the folder that `MOONGATE_FUZZ_SEEDS`
/// names, and words worth trying to a file `words` beside them.
///
/// # Panics
/// There is no such check, or the folder cannot be written to.
pub fn begin(name: &str) {
    // The library below ends the process where a panic begins. Ours may be caught on the way
    // (see codec::trpc::schema), and those that are not, end the process later.
    drop(panic::take_hook());
    let check = checks::all().find(|check| check.name == name).expect("a known check");
    let samples = (check.samples)();
    // What is made once must not count for an input.
    samples.iter().for_each(|sample| (check.run)(sample));
    if let Some(folder) = env::var_os("MOONGATE_FUZZ_SEEDS") {
        write(Path::new(&folder), &samples);
    }
    assert!(CHECK.set(check).is_ok(), "begins once");
}

fn write(folder: &Path, samples: &[Vec<u8>]) {
    for (n, sample) in samples.iter().enumerate() {
        fs::write(folder.join(format!("sample{n}")), sample).expect("written");
    }
    let byte = |byte: &u8| format!("\\x{byte:02x}");
    let line = |word: &[u8]| format!("\"{}\"\n", word.iter().map(byte).collect::<String>());
    let in_samples = samples.iter().flat_map(|sample| {
        let words = sample.split(|byte| !(byte.is_ascii_alphanumeric() || b"-_@".contains(byte)));
        words.filter(|word| (2..=32).contains(&word.len()))
    });
    let all = hunt::SPICES.iter().map(|word| word.as_bytes()).chain(in_samples);
    let words: BTreeSet<String> = all.map(line).collect();
    let words: String = words.into_iter().collect();
    fs::write(folder.with_extension("words"), words).expect("written");
}

/// Runs the check over an input.
///
/// # Panics
/// What must hold does not.
pub fn run(data: &[u8]) {
    counted::run(CHECK.get().expect("begun"), data);
}

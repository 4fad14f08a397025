//! The Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use super::metrics::{Family, Kind};

/// Appends a family: `HELP`, `TYPE`, then one line or block per series. Nothing if it is empty.
pub(super) fn family(out: &mut String, family: &Family) {
    let sums = family.sums();
    if sums.is_empty() {
        return;
    }
    let name = &family.name;
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    if !family.help.is_empty() {
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        append(out, format_args!("# HELP {name} {help}\n"));
    }
    append(out, format_args!("# TYPE {name} {kind}\n"));
    for (values, (value, buckets)) in sums {
        let labels = labels(&family.labels, &values);
        if family.kind == Kind::Histogram {
            histogram(out, family, (&labels, value, &buckets));
        } else {
            line(out, (name, ""), &labels, &number(value));
        }
    }
}

fn histogram(out: &mut String, family: &Family, (labels, sum, buckets): (&str, f64, &[u64])) {
    let comma = if labels.is_empty() { "" } else { "," };
    let bounds = family.bounds.iter().copied().chain([f64::INFINITY]);
    let mut count = 0;
    for (bound, bucket) in bounds.zip(buckets) {
        count += bucket;
        let labels = format!("{labels}{comma}le=\"{}\"", number(bound));
        line(out, (&family.name, "_bucket"), &labels, &count.to_string());
    }
    line(out, (&family.name, "_count"), labels, &count.to_string());
    line(out, (&family.name, "_sum"), labels, &number(sum));
}

fn line(out: &mut String, (name, suffix): (&str, &str), labels: &str, value: &str) {
    match labels.is_empty() {
        true => append(out, format_args!("{name}{suffix} {value}\n")),
        false => append(out, format_args!("{name}{suffix}{{{labels}}} {value}\n")),
    }
}

fn labels(names: &[Box<str>], values: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for (at, (name, value)) in names.iter().zip(values).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        append(&mut out, format_args!("{comma}{name}=\""));
        for letter in String::from_utf8_lossy(value).chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
    out
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value if value.is_nan() => "NaN".into(),
        value => value.to_string(),
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

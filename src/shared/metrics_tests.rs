//! [`metrics`](super::metrics) as a scrape sees it.

use std::{sync::Arc, thread};

use proptest::prelude::{any, proptest};

use super::metrics::{Kind, LABEL_BYTES_MAX, MetricError, Registry, Spec};

const NONE: &[&str] = &[];

#[test]
fn a_scrape_adds_up_the_workers_in_a_fixed_order() {
    let registry = Registry::new("apisix_", 2);
    let status = registry.counter("http_status", "codes\nby \\ route", &["code", "route"]).unwrap();
    status.inc(1, &["200", "b"], 1.0).unwrap();
    status.inc(0, &["200", "b"], 2.0).unwrap();
    status.inc(usize::MAX, &["200", "b"], 0.5).unwrap();
    status.inc(1, &["200", "a"], 1.0).unwrap();
    let open = registry.gauge("connections", "", NONE).unwrap();
    open.inc(0, NONE, 5.0).unwrap();
    open.inc(1, NONE, -2.0).unwrap();
    let expected = "# TYPE apisix_connections gauge\napisix_connections 3\n\
        # HELP apisix_http_status codes\\nby \\\\ route\n# TYPE apisix_http_status counter\n\
        apisix_http_status{code=\"200\",route=\"a\"} 1\n\
        apisix_http_status{code=\"200\",route=\"b\"} 3.5\n";
    assert_eq!(registry.render(), expected);
}

#[test]
fn a_histogram_has_cumulative_buckets_sum_and_count() {
    let registry = Registry::new("", 2);
    let latency = registry.histogram("latency", "ms", &["type"], &[1.0, 0.5, 10.0]).unwrap();
    for (worker, value) in [(0, 0.5), (1, 0.6), (0, 10.0), (1, 11.0)] {
        latency.observe(worker, &["x"], value).unwrap();
    }
    let expected = "# HELP latency ms\n# TYPE latency histogram\n\
        latency_bucket{type=\"x\",le=\"0.5\"} 1\nlatency_bucket{type=\"x\",le=\"1\"} 2\n\
        latency_bucket{type=\"x\",le=\"10\"} 3\nlatency_bucket{type=\"x\",le=\"+Inf\"} 4\n\
        latency_count{type=\"x\"} 4\nlatency_sum{type=\"x\"} 22.1\n";
    assert_eq!(registry.render(), expected);
}

#[test]
fn the_last_set_of_any_worker_wins() {
    let registry = Registry::new("", 4);
    let gauge = registry.gauge("g", "", &["l"]).unwrap();
    gauge.cell(3, &["a"]).unwrap().set(7.0);
    gauge.set(&["a"], 2.0).unwrap();
    assert_eq!(registry.render(), "# TYPE g gauge\ng{l=\"a\"} 2\n");
}

#[test]
fn label_values_are_escaped_and_cut() {
    let registry = Registry::new("", 1);
    let counter = registry.counter("c", "", &["l"]).unwrap();
    counter.inc(0, &[&b"a\"b\\c\nd\xff"[..]], 1.0).unwrap();
    assert!(registry.render().contains("c{l=\"a\\\"b\\\\c\\nd\u{fffd}\"} 1\n"));
    counter.reset();
    counter.inc(0, &["x".repeat(LABEL_BYTES_MAX + 1)], 1.0).unwrap();
    assert!(registry.render().contains(&format!("\"{}\"", "x".repeat(LABEL_BYTES_MAX))));
}

#[test]
fn series_beyond_the_bound_are_counted_as_errors() {
    let registry = Registry::with_series_max("p_", 2, 3);
    let counter = registry.counter("c", "", &["l"]).unwrap();
    for label in ["a", "b", "c"] {
        counter.inc(0, &[label], 1.0).unwrap();
    }
    assert_eq!(counter.inc(0, &["d"], 1.0), Err(MetricError::TooManySeries));
    assert_eq!(counter.inc(1, &["a"], 1.0), Ok(()));
    assert!(registry.render().contains("p_nginx_metric_errors_total 1\n"));
    counter.del(&["b"]).unwrap();
    assert_eq!(counter.inc(0, &["d"], 1.0), Ok(()));
    assert!(registry.render().contains("p_c{l=\"a\"} 2\np_c{l=\"c\"} 1\np_c{l=\"d\"} 1\n"));
}

#[test]
fn a_misuse_is_an_error_and_counted() {
    let registry = Registry::new("", 1);
    let counter = registry.counter("c", "", &["l"]).unwrap();
    let gauge = registry.gauge("g", "", NONE).unwrap();
    let wrong = MetricError::Labels { expected: 1, given: 0 };
    assert_eq!(counter.inc(0, NONE, 1.0), Err(wrong));
    assert_eq!(counter.inc(0, &["a"], -1.0), Err(MetricError::Negative));
    assert_eq!(counter.inc(0, &["a"], f64::NAN), Err(MetricError::NotANumber));
    assert_eq!(counter.observe(0, &["a"], 1.0), Err(MetricError::WrongKind));
    assert_eq!(gauge.observe(0, NONE, 1.0), Err(MetricError::WrongKind));
    assert!(registry.render().contains("nginx_metric_errors_total 5\n"));
}

#[test]
fn declaring_again_is_the_same_family_or_an_error() {
    let registry = Registry::new("", 1);
    let first = registry.counter("c", "", &["l"]).unwrap();
    assert!(Arc::ptr_eq(&first, &registry.counter("c", "other words", &["l"]).unwrap()));
    assert!(registry.counter("c", "", &["m"]).is_err());
    assert!(registry.gauge("c", "", &["l"]).is_err());
    assert!(registry.remove("c"));
    assert!(registry.gauge("c", "", &["l"]).is_ok());
    for (name, label) in [("1c", "l"), ("c-d", "l"), ("", "l"), ("x", "__l"), ("x", "a:b")] {
        assert!(registry.counter(name, "", &[label]).is_err(), "{name} {label}");
    }
    assert!(registry.histogram("h", "", &["le"], &[]).is_err());
}

#[test]
fn an_idle_series_goes_only_when_every_worker_left_it() {
    let registry = Registry::new("", 2);
    let kind = Kind::Counter;
    let spec = Spec { kind, name: "c", help: "", labels: &["l"], buckets: &[], idle_s: 10 };
    let counter = registry.declare(&spec).unwrap();
    let kept = counter.cell(0, &["a"]).unwrap();
    kept.inc(1.0);
    registry.sweep(100);
    counter.inc(1, &["a"], 1.0).unwrap();
    registry.sweep(109);
    registry.sweep(119);
    assert!(kept.is_live());
    assert!(registry.render().contains("c{l=\"a\"} 2\n"));
    registry.sweep(120);
    assert!(!kept.is_live());
    assert_eq!(registry.render(), "");
}

#[test]
fn no_count_of_any_thread_is_lost_while_scraping() {
    let registry = Registry::new("", 2);
    let counter = registry.counter("c", "", &["l"]).unwrap();
    let count = |worker: usize| {
        let cell = counter.cell(worker, &["x"]).unwrap();
        for _ in 0..10_000 {
            counter.inc(worker, &["x"], 1.0).unwrap();
            cell.inc(1.0);
        }
    };
    thread::scope(|scope| {
        // Two threads share worker 1.
        for worker in [0, 1, 1, 9] {
            scope.spawn(move || count(worker));
        }
        (0..20).for_each(|_| drop(registry.render()));
    });
    assert!(registry.render().contains("c{l=\"x\"} 80000\n"));
}

proptest! {
    #[test]
    fn different_label_values_are_different_series(
        a in proptest::array::uniform2(proptest::collection::vec(any::<u8>(), 0..4)),
        b in proptest::array::uniform2(proptest::collection::vec(any::<u8>(), 0..4)),
    ) {
        let registry = Registry::new("", 1);
        let counter = registry.counter("c", "", &["x", "y"]).unwrap();
        counter.inc(0, &a, 1.0).unwrap();
        counter.inc(0, &b, 1.0).unwrap();
        assert_eq!(counter.sums().len(), if a == b { 1 } else { 2 });
        assert!(counter.sums().contains_key(a.as_slice()));
    }
}

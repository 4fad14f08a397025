//! Where the objects come from: which of the sources, and why that one.

use std::{fmt, path::Path};

use super::{
    env::Env,
    local::{self, Format, Local},
};

/// A source of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// `conf/apisix.yaml` or `.json`.
    File(Format),
    /// etcd, as `deployment.etcd` says.
    Etcd,
    /// The store below `data/`.
    Embedded,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(Format::Yaml) => "yaml",
            Self::File(Format::Json) => "json",
            Self::Etcd => "etcd",
            Self::Embedded => "embedded",
        })
    }
}

impl Provider {
    /// The provider with this name in the configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "yaml" => Self::File(Format::Yaml),
            "json" => Self::File(Format::Json),
            "etcd" => Self::Etcd,
            "embedded" => Self::Embedded,
            _ => return None,
        })
    }

    /// The provider that `local` asks for, or the one that what lies below `prefix` suggests; and
    /// why it is that one.
    #[must_use]
    pub fn choose(local: &Local, prefix: &Path, env: Env<'_>) -> (Self, String) {
        if let Some(provider) = local.provider {
            return (provider, "config.yaml says config_provider".to_owned());
        }
        if local.named.etcd {
            return (Self::Etcd, "deployment.etcd.host is set".to_owned());
        }
        for format in [Format::Yaml, Format::Json] {
            let path = local::standalone_path(prefix, format, env);
            if path.exists() {
                return (Self::File(format), format!("{} exists", path.display()));
            }
        }
        let path = local::standalone_path(prefix, Format::Yaml, env);
        let why = format!(
            "nothing says otherwise: no config_provider, no deployment.etcd.host, no {}",
            path.display()
        );
        (Self::Embedded, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> Local {
        local::parse(text, "config.yaml", &|_| None).unwrap().local
    }

    #[test]
    fn what_is_said_counts_then_etcd_then_a_file() {
        let dir = crate::config::source::watch::tests::TempDir::new("provider");
        let conf = dir.path().join("conf");
        std::fs::create_dir_all(&conf).unwrap();
        let choose = |text: &str| Provider::choose(&local(text), dir.path(), &|_| None).0;
        let etcd = "deployment: {etcd: {host: ['http://127.0.0.1:2379']}}";
        let said = "deployment: {role: traditional, role_traditional: {config_provider: yaml}, \
                    etcd: {host: ['http://127.0.0.1:2379']}}";
        assert_eq!(choose(""), Provider::Embedded);
        assert_eq!(choose(etcd), Provider::Etcd);
        assert_eq!(choose(said), Provider::File(Format::Yaml));
        std::fs::write(conf.join("apisix.json"), "{}").unwrap();
        assert_eq!(choose(""), Provider::File(Format::Json));
        std::fs::write(conf.join("apisix.yaml"), "").unwrap();
        assert_eq!(choose(""), Provider::File(Format::Yaml));
        assert_eq!(choose(etcd), Provider::Etcd);
        let embedded = "deployment: {role_traditional: {config_provider: embedded}}";
        assert_eq!(choose(embedded), Provider::Embedded);
        for provider in ["yaml", "json", "etcd", "embedded"] {
            assert_eq!(Provider::from_name(provider).unwrap().to_string(), provider);
        }
        assert_eq!(Provider::from_name("xds"), None);
    }
}

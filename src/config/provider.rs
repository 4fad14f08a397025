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

/// `deployment.role`: what this process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Serves clients, and has an Admin API.
    #[default]
    Traditional,
    /// Has an Admin API, and serves no clients.
    ControlPlane,
    /// Serves clients, and has no Admin API.
    DataPlane,
}

impl Role {
    /// The role with this name in the configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "traditional" | "standalone" => Self::Traditional,
            "control_plane" => Self::ControlPlane,
            "data_plane" => Self::DataPlane,
            _ => return None,
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::ControlPlane => "control_plane",
            Self::DataPlane => "data_plane",
        }
    }

    /// Whether it accepts clients.
    #[must_use]
    pub fn serves(self) -> bool {
        self != Self::ControlPlane
    }

    /// Which providers it may have, as a message lists them.
    #[must_use]
    pub fn providers(self) -> &'static str {
        match self {
            Self::Traditional => "etcd, yaml, json or embedded",
            Self::ControlPlane => "etcd",
            Self::DataPlane => "etcd, yaml or json",
        }
    }

    /// Whether objects from `provider` are of use to it: what one process alone can reach brings a
    /// control plane no data plane, and a data plane no objects.
    #[must_use]
    pub fn may_have(self, provider: Provider) -> bool {
        match self {
            Self::Traditional => true,
            Self::ControlPlane => provider == Provider::Etcd,
            Self::DataPlane => provider != Provider::Embedded,
        }
    }
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
        if local.role == Role::ControlPlane {
            return (Self::Etcd, "a control plane writes to etcd".to_owned());
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
        if local.role == Role::DataPlane {
            let why = format!("a data plane without etcd reads {}", path.display());
            return (Self::File(Format::Yaml), why);
        }
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

    #[test]
    fn a_role_alone_chooses_no_store_of_its_own() {
        let dir = crate::config::source::watch::tests::TempDir::new("provider-roles");
        let choose = |text: &str| Provider::choose(&local(text), dir.path(), &|_| None).0;
        assert_eq!(choose("deployment: {role: control_plane}"), Provider::Etcd);
        assert_eq!(choose("deployment: {role: data_plane}"), Provider::File(Format::Yaml));
        let etcd = "deployment: {role: data_plane, etcd: {host: ['http://127.0.0.1:2379']}}";
        assert_eq!(choose(etcd), Provider::Etcd);
        std::fs::create_dir_all(dir.path().join("conf")).unwrap();
        std::fs::write(dir.path().join("conf/apisix.json"), "{}").unwrap();
        assert_eq!(choose("deployment: {role: control_plane}"), Provider::Etcd);
        assert_eq!(choose("deployment: {role: data_plane}"), Provider::File(Format::Json));
    }

    #[test]
    fn roles_are_known_by_name() {
        for role in [Role::Traditional, Role::ControlPlane, Role::DataPlane] {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert!(role.may_have(Provider::Etcd));
        }
        assert_eq!(Role::from_name("king"), None);
        assert!(!Role::ControlPlane.serves() && Role::DataPlane.serves());
    }
}

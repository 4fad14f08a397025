//! The members of an object.

use serde_json::Value;

use super::{
    check::{Fail, Path, Run},
    message,
    node::{Additional, Dependency, ObjectRule, Property},
};

impl<'r> Run<'r> {
    /// Checks the members of `value`, an object or an empty array, and fills in defaults.
    pub(super) fn object(
        &mut self,
        rule: &'r ObjectRule,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        for property in &rule.properties {
            self.property(property, value, at)?;
        }
        for name in &rule.required {
            if value.get(&**name).is_none() {
                return Err(self.fail(|| format!("property \"{name}\" is required")));
            }
        }
        for (name, dependency) in &rule.dependencies {
            if value.get(&**name).is_some() {
                self.dependency(name, dependency, value, at)?;
            }
        }
        if !rule.patterns.is_empty() || !matches!(rule.additional, Additional::Allowed) {
            self.other_members(rule, value, at)?;
        }
        let count = value.as_object().map_or(0, serde_json::Map::len) as f64;
        if let Some(min) = rule.count_min.filter(|&min| count < min) {
            let min = message::number(min);
            let text = || format!("expect object to have at least {min} properties");
            return Err(self.fail(text));
        }
        if let Some(max) = rule.count_max.filter(|&max| count > max) {
            let max = message::number(max);
            return Err(self.fail(|| format!("expect object to have at most {max} properties")));
        }
        Ok(())
    }

    fn property(
        &mut self,
        property: &'r Property,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        let name = &*property.name;
        if let Some(member) = value.get_mut(name) {
            self.node(property.node, member, &Path::Key(at, name)).map_err(|fail| {
                fail.prefixed(format_args!("property \"{name}\" validation failed: "))
            })?;
            if let Some(dependency) = &property.dependency {
                self.dependency(name, dependency, value, at)?;
            }
            return Ok(());
        }
        if property.required {
            return Err(self.fail(|| format!("property \"{name}\" is required")));
        }
        if let Some(default) = &property.default {
            self.fill(value, name, default, at);
        }
        Ok(())
    }

    fn dependency(
        &mut self,
        name: &str,
        dependency: &'r Dependency,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        match dependency {
            Dependency::Names(needed) => {
                match needed.iter().find(|needed| value.get(&***needed).is_none()) {
                    None => Ok(()),
                    Some(needed) => Err(self.fail(|| {
                        format!("property \"{needed}\" is required when \"{name}\" is set")
                    })),
                }
            }
            Dependency::Schema(id) => self.node(*id, value, at).map_err(|fail| {
                fail.prefixed(format_args!("failed to validate dependent schema for \"{name}\": "))
            }),
        }
    }

    /// `patternProperties` and `additionalProperties`.
    fn other_members(
        &mut self,
        rule: &'r ObjectRule,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        let Some(map) = value.as_object_mut() else { return Ok(()) };
        for (name, member) in map.iter_mut() {
            let mut matched = false;
            let at = Path::Key(at, name);
            for (pattern, id) in &rule.patterns {
                let place = |fail: Fail| {
                    let source = pattern.source();
                    fail.prefixed(format_args!(
                        "failed to validate {name} (matching \"{source}\"): "
                    ))
                };
                if pattern.is_match(name).map_err(Fail::fatal).map_err(place)? {
                    matched = true;
                    self.node(*id, member, &at).map_err(place)?;
                }
            }
            match rule.additional {
                Additional::Allowed => {}
                _ if matched || rule.names.contains(name.as_str()) => {}
                Additional::Forbidden => {
                    return Err(
                        self.fail(|| format!("additional properties forbidden, found {name}"))
                    );
                }
                Additional::Schema(id) => self.node(id, member, &at).map_err(|fail| {
                    fail.prefixed(format_args!("failed to validate additional property {name}: "))
                })?,
            }
        }
        Ok(())
    }
}

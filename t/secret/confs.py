"""Configurations made from JSON schemas, with a canary in each field that is a secret."""

import copy
import itertools
import json

# What a plugin wants beyond its schema, or what the generator would guess wrong.
MORE = {
    ("limit-count", "schema"): {"count": 2, "time_window": 60, "policy": "redis",
                                "redis_host": "127.0.0.1", "redis_port": 1, "redis_timeout": 50},
    ("limit-conn", "schema"): {"conn": 1, "burst": 0, "default_conn_delay": 0.1,
                               "key": "remote_addr", "policy": "redis", "redis_host": "127.0.0.1",
                               "redis_port": 1, "redis_timeout": 50},
    ("limit-req", "schema"): {"rate": 1, "burst": 0, "key": "remote_addr", "policy": "redis",
                              "redis_host": "127.0.0.1", "redis_port": 1, "redis_timeout": 50},
    ("anti-replay", "schema"): {"policy": "redis", "redis_host": "127.0.0.1", "redis_port": 1,
                                "redis_timeout": 50},
    ("anti-tamper", "schema"): {"sign_response": {"key_id": "gateway"}},
    ("http-logger", "schema"): {"uri": "http://127.0.0.1:1/log"},
    ("anti-tamper", "consumer_schema"): {"key_id": "tamper"},
    ("anti-replay", "consumer_schema"): {"key_id": "replay"},
    ("hmac-auth", "consumer_schema"): {"key_id": "hmac"},
    ("basic-auth", "consumer_schema"): {"username": "basic"},
}

def fields(schemas):
    """(plugin, schema's name, schema, paths of its secrets) for all that have any."""
    for plugin, known in sorted(schemas.items()):
        for kind in ("schema", "consumer_schema", "metadata_schema"):
            schema = known.get(kind) or {}
            paths = [path.split(".") for path in schema.get("encrypt_fields") or []]
            if paths:
                yield plugin, kind, schema, paths


def example(schema, depth=0, prefer=()):
    """A value that the schema takes, as far as that can be seen from it; of several ways the one
    that asks for a name of `prefer`."""
    if not isinstance(schema, dict) or depth > 12:
        return None
    for word in ("default", "const"):
        if word in schema:
            return copy.deepcopy(schema[word])
    if schema.get("enum"):
        return schema["enum"][0]
    chosen = dict(schema)
    for word in ("oneOf", "anyOf"):
        if schema.get(word):
            ways = [way for way in schema[word] if set(way.get("required") or ()) & set(prefer)]
            chosen = joined(chosen, (ways or schema[word])[0])
    for part in schema.get("allOf") or []:
        chosen = joined(chosen, (part.get("oneOf") or part.get("anyOf") or [part])[0])
    kind = chosen.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in chosen:
        properties = chosen.get("properties") or {}
        return {name: example(properties.get(name) or {}, depth + 1)
                for name in chosen.get("required") or []}
    if kind == "array":
        item = example(chosen.get("items") or {"type": "string"}, depth + 1)
        return [item for _ in range(chosen.get("minItems") or 0)] or []
    if kind in ("integer", "number"):
        low = chosen.get("minimum", chosen.get("exclusiveMinimum", 0) + 1)
        return min(max(low, 1), chosen.get("maximum", max(low, 1)))
    if kind == "boolean":
        return True
    return text(chosen)


def text(schema):
    pattern = schema.get("pattern") or ""
    if "://" in pattern or ":\\/\\/" in pattern:
        return "http://127.0.0.1:1/x"
    return "127.0.0.1" if "." in pattern else "x" * max(8, schema.get("minLength") or 0)


def joined(one, other):
    out = {**one, **{k: v for k, v in other.items() if k not in ("properties", "required")}}
    out["properties"] = {**(one.get("properties") or {}), **(other.get("properties") or {})}
    out["required"] = list(dict.fromkeys([*(one.get("required") or []),
                                          *(other.get("required") or [])]))
    return {k: v for k, v in out.items() if k not in ("oneOf", "anyOf", "allOf")
            and not (k in ("properties", "required") and not v)}


def find(schema, name):
    """The schema of a property, wherever it stands."""
    if isinstance(schema, dict):
        for word in ("properties", "patternProperties"):
            if name in (schema.get(word) or {}):
                return schema[word][name]
        for value in schema.values():
            if (found := find(value, name)) is not None:
                return found
    elif isinstance(schema, list):
        for value in schema:
            if (found := find(value, name)) is not None:
                return found
    return None


def place(conf, schema, path, canary):
    """Puts a canary at a path below `conf`, making what is above it."""
    name, rest = path[0], path[1:]
    if not isinstance(conf, dict):
        raise ValueError("no object at %s" % name)
    known = find(schema, name) or {}
    if not rest:
        kind = known.get("type")
        conf[name] = ([canary] if kind == "array" else {"x-name": canary} if kind == "object"
                      else canary)
        return
    inner = conf.get(name)
    if known.get("type") == "array":
        items = known.get("items") or {}
        inner = inner if isinstance(inner, list) and inner else [example(items) or {}]
        inner[0] = inner[0] if isinstance(inner[0], dict) else {}
        place(inner[0], items, rest, canary)
    elif known.get("type") == "object" and "properties" not in known and rest[0] not in (
            known.get("patternProperties") or {}):
        # A map by any name: a name of its own, then the field.
        inner = inner if isinstance(inner, dict) else {}
        below = known.get("additionalProperties") or next(
            iter((known.get("patternProperties") or {}).values()), {})
        below = below if isinstance(below, dict) else {}
        inner.setdefault("one", example(below) or {})
        if isinstance(inner["one"], list):
            inner["one"] = inner["one"] or [example(below.get("items") or {}) or {}]
            place(inner["one"][0], below.get("items") or {}, rest, canary)
        else:
            place(inner["one"], below, rest, canary)
    else:
        inner = inner if isinstance(inner, dict) else example(known, 0, rest)
        inner = inner if isinstance(inner, dict) else {}
        place(inner, known, rest, canary)
    conf[name] = inner


def conf_of(plugin, kind, schema, paths, canary):
    """A configuration with `canary()` at each path."""
    prefer = [name for path in paths for name in path]
    conf = example({k: v for k, v in schema.items() if k != "default"}, 0, prefer) or {}
    conf.update(copy.deepcopy(MORE.get((plugin, kind)) or {}))
    for path in paths:
        place(conf, schema, path, canary())
    return conf


CANARY = "canary to be replaced"


def broken(conf, schema, path, new):
    """Forms of a configuration that hardly any schema takes, with a canary in its place or beside
    it; each has one of its own."""
    for form in forms(conf, schema, path, CANARY):
        if form is not None:
            yield json.loads(json.dumps(form).replace(CANARY, new()))


def forms(conf, schema, path, canary):
    def changed(value, over=path):
        out = copy.deepcopy(conf)
        at = out
        for name in over[:-1]:
            at = at.get(name) if isinstance(at, dict) else None
            if isinstance(at, list):
                at = at[0] if at else None
        if not isinstance(at, dict):
            return None
        at[over[-1]] = value
        return out
    for value in ({"a": canary}, [canary], [[canary]], {"a": {"b": [canary]}}, canary * 400,
                  [canary, 1, None], {"": canary}):
        yield changed(value)
    for name, known in itertools.islice((schema.get("properties") or {}).items(), 30):
        if name != path[0]:
            wrong = [canary] if known.get("type") == "string" else canary
            if known.get("type") == "array":
                wrong = {"x": canary}
            out = changed(canary)
            if out is not None:
                yield {**out, name: wrong}
                if "pattern" in known or "enum" in known:
                    yield {**out, name: canary}
    out = changed(canary)
    if out is not None:
        yield {name: value for name, value in out.items() if name == path[0]}
        yield {**out, "_meta": {"filter": canary}}
        yield {**out, "_meta": {"priority": canary, "disable": canary}}

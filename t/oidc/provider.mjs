// provider.mjs DIR PORT TOP KEY: an OpenID provider, by the package oidc-provider in
// DIR/node_modules, for clients that come back to TOP/NAME/callback. KEY is a file with the
// public key, as JWK, of the client that proves who it is by signing.
//
// Its login and consent are the package's own forms; accounts have any name. Access tokens are
// opaque; those of "scoped" are JWTs with the scopes that were granted. Those of "short" live for
// six seconds.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [directory, port, top, keyFile] = process.argv.slice(2);
const entry = `${directory}/node_modules/oidc-provider/lib/index.js`;
const { Provider } = await import(pathToFileURL(entry));

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = privateKey.export({ format: "jwk" });
const key = { ...jwk, kid: randomUUID(), use: "sig", alg: "RS256" };

function client(name, more = {}) {
    return {
        client_id: name,
        client_secret: `secret of ${name}: & %`,
        redirect_uris: [`${top}/${name}/callback`],
        post_logout_redirect_uris: [`${top}/bye`],
        grant_types: ["authorization_code", "refresh_token", "client_credentials"],
        response_types: ["code"],
        ...more,
    };
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: [key] },
    cookies: { keys: ["tests"] },
    claims: { openid: ["sub"], profile: ["name"] },
    ttl: { AccessToken: (_, token, owner) => (owner.clientId === "short" ? 6 : 600) },
    rotateRefreshToken: true,
    issueRefreshToken: (_, owner) => owner.grantTypeAllowed("refresh_token"),
    findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({ sub: id, name: `${id} of tests` }),
    }),
    clients: [
        client("web", {
            redirect_uris: [`${top}/web/callback`, `${top}/callback`, `${top}/brief/callback`],
        }),
        client("short"),
        client("stored"),
        client("scoped"),
        client("public", {
            client_secret: undefined,
            grant_types: ["authorization_code", "refresh_token"],
            token_endpoint_auth_method: "none",
        }),
        client("signed", {
            client_secret: undefined,
            token_endpoint_auth_method: "private_key_jwt",
            jwks: { keys: [JSON.parse(readFileSync(keyFile))] },
        }),
        client("bound", {
            dpop_bound_access_tokens: true,
            require_pushed_authorization_requests: true,
        }),
    ],
    features: {
        devInteractions: { enabled: true },
        clientCredentials: { enabled: true },
        introspection: { enabled: true },
        revocation: { enabled: true },
        dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
        resourceIndicators: {
            enabled: true,
            defaultResource: (context) =>
                context.oidc.client.clientId === "scoped" ? "urn:tests" : undefined,
            useGrantedResource: () => true,
            getResourceServerInfo: () => ({ scope: "read write", accessTokenFormat: "jwt" }),
        },
    },
});
provider.on("server_error", (_, error) => console.error(error));
provider.on("grant.error", (_, error) => console.error("grant", error.message, error.error_detail));
provider.listen(Number(port), "127.0.0.1");

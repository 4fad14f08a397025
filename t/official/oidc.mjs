// oidc.mjs DIR PORT REDIRECT_URI: an OpenID provider, by the package oidc-provider in
// DIR/node_modules, with one client and an account of any name.
//
// Its login and consent are the package's own forms. Access tokens are opaque, and for the
// resource urn:official they are JWTs that the keys of /jwks verify.
import { generateKeyPairSync } from "node:crypto";
import { pathToFileURL } from "node:url";

const [directory, port, redirect] = process.argv.slice(2);
const entry = `${directory}/node_modules/oidc-provider/lib/index.js`;
const { Provider } = await import(pathToFileURL(entry));

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };

const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: [key] },
    cookies: { keys: ["official"] },
    claims: { openid: ["sub"], profile: ["name"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of tests` }) }),
    clients: [{
        client_id: "c",
        client_secret: "s",
        redirect_uris: [redirect],
        grant_types: ["authorization_code", "refresh_token", "client_credentials"],
        response_types: ["code"],
    }],
    features: {
        devInteractions: { enabled: true },
        clientCredentials: { enabled: true },
        introspection: { enabled: true },
        revocation: { enabled: true },
        resourceIndicators: {
            enabled: true,
            getResourceServerInfo: () => ({ scope: "read", accessTokenFormat: "jwt" }),
        },
    },
});
provider.listen(Number(port), "127.0.0.1");

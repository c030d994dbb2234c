// A certified OpenID provider with made-up people, for tests: its name, port and client come from the environment.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, KEY_NAME, ALGORITHM = "RS256" } = process.env;
const kinds = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }] };
const { privateKey } = generateKeyPairSync(...kinds[ALGORITHM]);
const people = {
  vera: { groups: ["viewers"] },
  otto: { groups: ["operators", "staff"] },
  dora: { groups: ["deployers"] },
  both: { groups: ["operators", "deployers"] },
  nobody: { groups: ["staff"] },
  shady: { groups: ["operators"], email_verified: false },
};
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [REDIRECT_URI],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: KEY_NAME, use: "sig", alg: ALGORITHM }] },
  enabledJWA: { idTokenSigningAlgValues: [ALGORITHM] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
  // as strict as OpenID Connect is: claims of scopes come from the userinfo endpoint
  conformIdTokenClaims: process.env.CLAIMS_IN_ID_TOKEN !== "1",
  pkce: { required: () => true },
  cookies: { keys: ["a key of these tests"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true, ...people[id] }),
  }),
});
createServer(provider.callback()).listen(Number(PORT), "127.0.0.1", () => console.log("listening"));

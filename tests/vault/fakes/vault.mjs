// SPDX-License-Identifier: Apache-2.0
// HashiCorp Vault, and OpenBao: the KV engine of version 2, and logins by AppRole, JWT and Kubernetes. Strict: tokens with
// their policies, namespace and end, JWTs by the role's key, issuer, audience and subject, one answer for no and for not there.
//
// state: {sealed?, tokens: {token: {policies, namespace, until?}}, policies: {name: [path]}, approles: {role_id: {secret_ids: [],
// policies}}, jwt: {mount: {role: {pem, issuer, audience, subject?, policies}}}, kv: {"NAMESPACE|MOUNT/PATH": {versions: {n:
// {data, deleted?, destroyed?}}}}, ttl_s}
import crypto from 'node:crypto';
import {decode, refusal} from './jwt.mjs';

export const initial = () => ({tokens: {}, policies: {}, approles: {}, jwt: {}, kv: {}, mounts: {approle: 'approle'}, ttl_s: 60});
export const action = (req) => (req.url.startsWith('/v1/auth/') ? 'login' : 'read');

const errors = (status, ...texts) => ({status, headers: {'content-type': 'application/json'}, body: JSON.stringify({errors: texts})});
const good = (answer) => ({status: 200, headers: {'content-type': 'application/json'}, body: JSON.stringify({request_id: crypto.randomUUID(), lease_id: '', renewable: false, lease_duration: 0, wrap_info: null, warnings: null, ...answer})});

export const throttled = () => errors(429, 'request path "secret/data/x": rate limit quota exceeded');
export const failed = () => errors(500, 'internal error');

const logged = (state, policies, space) => {
  const token = `hvs.${crypto.randomBytes(24).toString('base64url')}`;
  state.tokens[token] = {policies, namespace: space, until: Date.now() + state.ttl_s * 1000};
  return good({data: null, auth: {client_token: token, policies, lease_duration: state.ttl_s, renewable: false, token_type: 'batch'}});
};

const approle = (state, input, space) => {
  const role = state.approles[input.role_id];
  if (!role || (role.namespace ?? '') !== space) return errors(400, 'invalid role or secret ID');
  if (!role.secret_ids.includes(input.secret_id)) return errors(400, 'invalid role or secret ID');
  return logged(state, role.policies, space);
};

const jwt = (state, mount, input, space) => {
  const role = state.jwt[mount]?.[input.role];
  const token = decode(input.jwt);
  if (!role) return errors(400, `role "${input.role}" could not be found`);
  const why = refusal(token, {pem: role.pem, algorithms: ['RS256', 'ES256'], audience: role.audience});
  if (why === 'expired') return errors(400, 'error validating token: invalid expiration time (exp) claim: token is expired');
  if (why) return errors(400, `error validating token: ${why}`);
  if (token.claims.iss !== role.issuer) return errors(400, 'error validating token: invalid issuer (iss) claim');
  if (role.subject && token.claims.sub !== role.subject) return errors(400, 'error validating claims: sub claim does not match bound subject');
  return logged(state, role.policies, space);
};

const login = (req, body, state, mount, space) => {
  let input;
  try {
    input = JSON.parse(body.toString());
  } catch {
    return errors(400, 'failed to parse JSON input');
  }
  if (!['POST', 'PUT'].includes(req.method)) return errors(405, 'unsupported operation');
  if (mount === state.mounts.approle) return approle(state, input, space);
  if (state.jwt[mount]) return jwt(state, mount, input, space);
  return errors(404, `no handler for route "auth/${mount}/login". route entry not found.`);
};

const read = (req, state, path, space) => {
  const given = state.tokens[req.headers['x-vault-token']];
  if (!req.headers['x-vault-token']) return errors(400, 'missing client token');
  if (!given || (given.until && given.until < Date.now())) return errors(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');
  // A child namespace is open to its parent's tokens.
  if (!`${space}/`.startsWith(`${given.namespace ?? ''}/`.replace(/^\/$/, ''))) return errors(403, 'permission denied');
  const asked = /^\/v1\/(.+?)\/data\/(.+)$/.exec(path);
  if (!asked || req.method !== 'GET') return errors(404, `no handler for route "${path.slice(4)}". route entry not found.`);
  const allowed = given.policies.flatMap((p) => state.policies[p] ?? []);
  if (!allowed.some((p) => (p.endsWith('*') ? path.slice(4).startsWith(p.slice(0, -1)) : path.slice(4) === p))) return errors(403, '1 error occurred:\n\t* permission denied\n\n');
  const secret = state.kv[`${space}|${asked[1]}/${asked[2]}`];
  const number = Number(new URL(req.url, 'http://x').searchParams.get('version') ?? 0) || Math.max(...Object.keys(secret?.versions ?? {0: 0}).map(Number));
  const version = secret?.versions[number];
  if (!version) return errors(404);
  const gone = version.deleted || version.destroyed;
  const metadata = {created_time: '2026-01-01T00:00:00Z', custom_metadata: null, deletion_time: version.deleted ? '2026-01-02T00:00:00Z' : '', destroyed: !!version.destroyed, version: number};
  const answer = good({data: {data: gone ? null : version.data, metadata}});
  return gone ? {...answer, status: 404} : answer;
};

export const answer = (req, body, state) => {
  const url = new URL(req.url, 'http://x');
  const path = decodeURIComponent(url.pathname);
  const space = (req.headers['x-vault-namespace'] ?? '').replace(/^\/|\/$/g, '');
  if (state.sealed) return errors(503, 'Vault is sealed');
  if (state.need_request && req.headers['x-vault-request'] !== 'true') return errors(412, 'missing required X-Vault-Request header');
  const found = /^\/v1\/auth\/(.+)\/login$/.exec(path);
  return found ? login(req, body, state, found[1], space) : read(req, state, path, space);
};

// SPDX-License-Identifier: Apache-2.0
// The transit engine of HashiCorp Vault and OpenBao: encrypt, decrypt and rewrap under derived keys, whose context is needed and
// binds. Strict: the token and its end, the mount and key, base64, versions.
//
// state: {sealed?, tokens: {token: {until?}}, mount, keys: {name: {versions: {n: material (hex)}, minimum?}}}
import crypto from 'node:crypto';

export const initial = () => ({
  tokens: {'hvs.keystile-transit': {}},
  mount: 'transit',
  keys: {keystile: {versions: {1: crypto.randomBytes(32).toString('hex')}}},
});
export const action = (req) => req.url.split('/')[3] ?? '';

const errors = (status, ...texts) => ({status, headers: {'content-type': 'application/json'}, body: JSON.stringify({errors: texts})});
const good = (data) => ({status: 200, headers: {'content-type': 'application/json'}, body: JSON.stringify({request_id: crypto.randomUUID(), lease_id: '', renewable: false, lease_duration: 0, data, wrap_info: null, warnings: null, auth: null})});

export const throttled = () => errors(429, 'request path "transit/encrypt/x": rate limit quota exceeded');
export const failed = () => errors(500, 'internal error');

const base64 = (text) => (typeof text === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 ? Buffer.from(text, 'base64') : null);
const derive = (key, version, context) => crypto.hkdfSync('sha256', Buffer.from(key.versions[version], 'hex'), Buffer.alloc(0), context, 32);

const seal = (key, context, plain) => {
  const version = Math.max(...Object.keys(key.versions).map(Number));
  const nonce = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', Buffer.from(derive(key, version, context)), nonce);
  const text = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return {ciphertext: `vault:v${version}:${text.toString('base64')}`, key_version: version};
};

const open = (key, context, ciphertext) => {
  const given = /^vault:v(\d+):(.+)$/.exec(ciphertext ?? '');
  const text = given && base64(given[2]);
  if (!text || text.length < 28) return errors(400, 'invalid ciphertext: no prefix');
  if (!key.versions[given[1]] || Number(given[1]) < (key.minimum ?? 1)) return errors(400, 'ciphertext or signature version is disallowed by policy (too old)');
  try {
    const cipher = crypto.createDecipheriv('aes-256-gcm', Buffer.from(derive(key, given[1], context)), text.subarray(0, 12));
    cipher.setAuthTag(text.subarray(-16));
    return Buffer.concat([cipher.update(text.subarray(12, -16)), cipher.final()]);
  } catch {
    return errors(400, 'cipher: message authentication failed');
  }
};

const verbs = {
  encrypt: (key, input, context) => {
    const plain = base64(input.plaintext);
    return plain ? good(seal(key, context, plain)) : errors(400, 'failed to base64-decode plaintext');
  },
  decrypt: (key, input, context) => {
    const plain = open(key, context, input.ciphertext);
    return Buffer.isBuffer(plain) ? good({plaintext: plain.toString('base64')}) : plain;
  },
  rewrap: (key, input, context) => {
    const plain = open(key, context, input.ciphertext);
    return Buffer.isBuffer(plain) ? good(seal(key, context, plain)) : plain;
  },
};

export const answer = (req, body, state) => {
  if (state.sealed) return errors(503, 'Vault is sealed');
  const token = req.headers['x-vault-token'];
  if (!token) return errors(400, 'missing client token');
  const given = state.tokens[token];
  if (!given || (given.until && given.until < Date.now())) return errors(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');
  const asked = new RegExp(`^/v1/${state.mount}/(encrypt|decrypt|rewrap)/([\\w-]+)$`).exec(req.url);
  if (!asked || !['POST', 'PUT'].includes(req.method)) return errors(404, `no handler for route "${req.url.slice(4)}". route entry not found.`);
  const key = state.keys[asked[2]];
  if (!key) return errors(400, 'encryption key not found');
  let input;
  try {
    input = JSON.parse(body.toString());
  } catch {
    return errors(400, 'failed to parse JSON input');
  }
  const context = base64(input.context);
  if (!context || context.length === 0) return errors(400, "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key");
  return verbs[asked[1]](key, input, context);
};

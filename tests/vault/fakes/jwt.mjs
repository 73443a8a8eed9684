// SPDX-License-Identifier: Apache-2.0
// Checks signed tokens with keys that are known beforehand, as the stores do.
import crypto from 'node:crypto';

const ALGORITHMS = {
  RS256: {key: 'rsa', hash: 'sha256'},
  PS256: {key: 'rsa', hash: 'sha256', padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32},
  ES256: {key: 'ec', hash: 'sha256', dsaEncoding: 'ieee-p1363'},
};

export const decode = (token) => {
  const parts = (token ?? '').split('.');
  if (parts.length !== 3 || parts.some((p) => !/^[A-Za-z0-9_-]+$/.test(p))) return null;
  try {
    const [header, claims] = parts.slice(0, 2).map((p) => JSON.parse(Buffer.from(p, 'base64url')));
    return {header, claims, input: `${parts[0]}.${parts[1]}`, signature: Buffer.from(parts[2], 'base64url')};
  } catch {
    return null;
  }
};

// Why a token is refused, or ''. `rules`: {pem, algorithms, audience, now_s, longest_s}.
export const refusal = (jwt, rules) => {
  const algorithm = ALGORITHMS[jwt?.header?.alg];
  const now = rules.now_s ?? Date.now() / 1000;
  if (!algorithm || !rules.algorithms.includes(jwt.header.alg)) return 'algorithm';
  const key = crypto.createPublicKey(rules.pem);
  if (key.asymmetricKeyType !== algorithm.key) return 'key';
  const {padding, saltLength, dsaEncoding} = algorithm;
  if (!crypto.verify(algorithm.hash, Buffer.from(jwt.input), {key, padding, saltLength, dsaEncoding}, jwt.signature)) return 'signature';
  if (!(jwt.claims.exp > now)) return 'expired';
  if (jwt.claims.iat > now + 60 || jwt.claims.nbf > now + 60) return 'not yet valid';
  if (rules.longest_s && !(jwt.claims.exp - (jwt.claims.iat ?? jwt.claims.nbf) <= rules.longest_s)) return 'too long';
  const audiences = [].concat(jwt.claims.aud ?? []);
  if (rules.audience && !audiences.includes(rules.audience)) return 'audience';
  return '';
};

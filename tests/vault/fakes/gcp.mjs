// SPDX-License-Identifier: Apache-2.0
// Google Cloud: Secret Manager (access), IAM Service Account Credentials (generateAccessToken), Security Token Service (token
// exchange). Strict: self-signed JWTs by the account's keys with iss = sub, the service's audience (or a scope) and an hour at
// most; outside tokens by the provider's key, issuer, audience and time; access tokens and their end; permissions.
//
// state: {skew_s, accounts: {email: {keys: {kid: pem}, disabled?, impersonators: [member]}}, providers: {audience: {issuer, pem,
// audience (of the outside token), disabled?}}, secrets: {"projects/P/secrets/S": {readers: [member], versions: {n: {data,
// state: ENABLED|DISABLED|DESTROYED}}, aliases: {}}}, disabled_api?, tokens} - members are account emails or
// "principal:AUDIENCE/SUBJECT".
import crypto from 'node:crypto';
import {decode, refusal} from './jwt.mjs';

export const initial = () => ({skew_s: 0, accounts: {}, providers: {}, secrets: {}, tokens: {}});

export const action = (req) => {
  if (req.url.startsWith('/v1/token')) return 'exchange';
  return req.url.split('?')[0].split(':').pop();
};

const error = (code, status, message, reason) => ({
  status: code,
  headers: {'content-type': 'application/json; charset=UTF-8'},
  body: JSON.stringify({error: {code, message, status, ...(reason ? {details: [{'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com'}]} : {})}}),
});
const oauth = (status, name, description) => ({status, headers: {'content-type': 'application/json'}, body: JSON.stringify({error: name, error_description: description})});
const good = (answer) => ({status: 200, headers: {'content-type': 'application/json; charset=UTF-8'}, body: JSON.stringify(answer)});

export const throttled = () => error(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded for quota metric', 'RATE_LIMIT_EXCEEDED');
export const failed = () => error(503, 'UNAVAILABLE', 'The service is currently unavailable.');

const mint = (state, member, seconds) => {
  const token = `ya29.${crypto.randomBytes(60).toString('base64url')}`;
  state.tokens[token] = {member, until: Date.now() + seconds * 1000};
  return token;
};

// {member} or {refused}.
const authenticate = (req, state, audience) => {
  const token = /^Bearer (\S+)$/.exec(req.headers.authorization ?? '')?.[1];
  const no = (reason) => ({refused: error(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.', reason)});
  if (!token) return no('CREDENTIALS_MISSING');
  if (token.startsWith('ya29.')) {
    const known = state.tokens[token];
    if (!known || known.until < Date.now()) return no('ACCESS_TOKEN_EXPIRED');
    return {member: known.member};
  }
  const jwt = decode(token);
  const account = state.accounts[jwt?.claims?.iss];
  const pem = account?.keys?.[jwt?.header?.kid];
  if (!pem || jwt.claims.sub !== jwt.claims.iss) return no('ACCESS_TOKEN_TYPE_UNSUPPORTED');
  const scoped = jwt.claims.scope !== undefined && jwt.claims.aud === undefined;
  const why = refusal(jwt, {pem, algorithms: ['RS256'], audience: scoped ? undefined : audience, longest_s: 3600, now_s: Date.now() / 1000 + state.skew_s});
  if (why || (scoped && !jwt.claims.scope.split(' ').includes('https://www.googleapis.com/auth/cloud-platform'))) return no('ACCESS_TOKEN_EXPIRED');
  if (account.disabled) return no('ACCOUNT_STATE_INVALID');
  return {member: jwt.claims.iss};
};

const exchange = (req, body, state) => {
  const form = new URLSearchParams(body.toString());
  const provider = state.providers[form.get('audience')];
  if (!/^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? '') || req.method !== 'POST') return oauth(400, 'invalid_request', 'form');
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange'
    || form.get('requested_token_type') !== 'urn:ietf:params:oauth:token-type:access_token'
    || !['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'].includes(form.get('subject_token_type'))
    || form.get('scope') !== 'https://www.googleapis.com/auth/cloud-platform') return oauth(400, 'invalid_request', 'Invalid request.');
  if (!provider || provider.disabled) return oauth(400, 'invalid_target', 'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn\'t exist.');
  const jwt = decode(form.get('subject_token'));
  const why = refusal(jwt, {pem: provider.pem, algorithms: ['RS256', 'ES256'], audience: provider.audience ?? form.get('audience'), longest_s: 86400});
  if (why === 'expired') return oauth(400, 'invalid_grant', 'ID Token issued at 1 is stale to sign-in (expired).');
  if (why || jwt.claims.iss !== provider.issuer) return oauth(400, 'invalid_grant', `The ID Token is refused: ${why || 'issuer'}`);
  return good({access_token: mint(state, `principal:${form.get('audience')}/${jwt.claims.sub}`, 3600), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', token_type: 'Bearer', expires_in: 3600});
};

const generate = (req, body, state, member, email) => {
  const account = state.accounts[email];
  const input = JSON.parse(body.toString());
  if (!account) return error(404, 'NOT_FOUND', 'Not found; Gaia id not found for email');
  if (!account.impersonators?.includes(member)) return error(403, 'PERMISSION_DENIED', "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", 'IAM_PERMISSION_DENIED');
  if (!Array.isArray(input.scope) || !/^\d+s$/.test(input.lifetime ?? '3600s')) return error(400, 'INVALID_ARGUMENT', 'scope');
  if (account.disabled) return error(403, 'PERMISSION_DENIED', 'The service account is disabled.');
  const seconds = parseInt(input.lifetime ?? '3600', 10);
  return good({accessToken: mint(state, email, seconds), expireTime: new Date(Date.now() + seconds * 1000).toISOString()});
};

const TABLE = Array.from({length: 256}, (_, n) => {
  let c = n;
  for (let i = 0; i < 8; i++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});
const crc32c = (data) => (data.reduce((c, byte) => (c >>> 8) ^ TABLE[(c ^ byte) & 255], 0xffffffff) ^ 0xffffffff) >>> 0;

const access = (state, member, name, wanted) => {
  const secret = state.secrets[name];
  if (state.disabled_api) return error(403, 'PERMISSION_DENIED', 'Secret Manager API has not been used in project before or it is disabled.', 'SERVICE_DISABLED');
  // The real one tells nobody without permission whether the secret is there.
  if (secret && !secret.readers.includes(member)) return error(403, 'PERMISSION_DENIED', `Permission 'secretmanager.versions.access' denied for resource '${name}/versions/${wanted}' (or it may not exist).`, 'IAM_PERMISSION_DENIED');
  if (!secret) return error(404, 'NOT_FOUND', `Secret [${name}] not found or has no versions.`);
  const numbers = Object.keys(secret.versions).map(Number).sort((a, b) => a - b);
  const number = wanted === 'latest' ? numbers.at(-1) : secret.aliases?.[wanted] ?? Number(wanted);
  const version = secret.versions[number];
  if (!version) return error(404, 'NOT_FOUND', `Secret Version [${name}/versions/${wanted}] not found.`);
  if (version.state !== 'ENABLED') return error(400, 'FAILED_PRECONDITION', `Secret Version [${name}/versions/${number}] is in ${version.state} state.`);
  const data = Buffer.from(version.data, 'base64');
  const sum = version.wrong_sum ? 1 : crc32c(data);
  return good({name: `${name}/versions/${number}`, payload: data.length ? {data: version.data, dataCrc32c: String(sum)} : {}});
};

export const answer = (req, body, state) => {
  const path = decodeURIComponent(new URL(req.url, 'http://x').pathname);
  if (path === '/v1/token') return exchange(req, body, state);
  const found = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(path);
  if (found && req.method === 'POST') {
    const {member, refused} = authenticate(req, state, 'https://iamcredentials.googleapis.com/');
    return refused ?? generate(req, body, state, member, found[1]);
  }
  const asked = /^\/v1\/(projects\/[^/]+(?:\/locations\/[^/]+)?\/secrets\/[^/]+)\/versions\/([^/:]+):access$/.exec(path);
  if (asked && req.method === 'GET') {
    const {member, refused} = authenticate(req, state, 'https://secretmanager.googleapis.com/');
    return refused ?? access(state, member, asked[1], asked[2]);
  }
  return error(404, 'NOT_FOUND', 'The requested URL was not found on this server.');
};

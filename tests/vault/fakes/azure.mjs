// SPDX-License-Identifier: Apache-2.0
// Entra ID (client credentials) and Key Vault (Get Secret). Strict: the directory, the client, its secret, or its assertion:
// thumbprint, signature, audience, iss = sub = client, jti once, eleven minutes at most; federated tokens by issuer, subject and
// audience; scope; access tokens by directory and end; roles by vault.
//
// state: {skew_s, origin (of the authority, as in audiences), directories: {id: {applications: {client_id: {secrets: [],
// expired_secrets: [], certificates: {x5t#S256: pem}, federated: [{issuer, subject, audience, pem}], disabled?}}}},
// vaults: {host or "": {directory, readers: [client_id], firewall?, secrets: {name: {current, versions: {id: {value, enabled?,
// expired?}}}}}}, tokens}
import crypto from 'node:crypto';
import {decode, refusal} from './jwt.mjs';

export const initial = () => ({skew_s: 0, directories: {}, vaults: {}, tokens: {}, jtis: {}});
export const action = (req) => (req.url.startsWith('/secrets/') ? 'secret' : req.url.includes('/oauth2/') ? 'token' : 'metadata');

const json = (status, answer, headers = {}) => ({status, headers: {'content-type': 'application/json; charset=utf-8', ...headers}, body: JSON.stringify(answer)});
const entra = (status, error, code, text) => json(status, {error, error_description: `AADSTS${code}: ${text} Trace ID: 0 Correlation ID: 0 Timestamp: 2026-01-01 00:00:00Z`, error_codes: [code], timestamp: '2026-01-01 00:00:00Z', trace_id: '0', correlation_id: '0'});
const refuse = (status, code, message, inner) => json(status, {error: {code, message, ...(inner ? {innererror: {code: inner}} : {})}});

export const throttled = () => refuse(429, 'Throttled', 'Request was not processed because too many requests were received.');
export const failed = () => refuse(500, 'InternalServerError', 'An internal error occurred.');

const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const prove = (form, id, client, application, state) => {
  const secret = form.get('client_secret');
  if (secret !== null) {
    if (application.expired_secrets?.includes(secret)) return entra(401, 'invalid_client', 7000222, 'The provided client secret keys for app are expired.');
    return application.secrets?.includes(secret) ? null : entra(401, 'invalid_client', 7000215, 'Invalid client secret provided.');
  }
  if (form.get('client_assertion_type') !== ASSERTION) return entra(400, 'invalid_request', 900144, 'The request body must contain client_assertion or client_secret.');
  const jwt = decode(form.get('client_assertion'));
  if (!jwt) return entra(400, 'invalid_request', 50027, 'JWT token is invalid or malformed.');
  const now = Date.now() / 1000 + state.skew_s;
  if (jwt.claims.iss !== client) {
    const trust = application.federated?.find((f) => f.issuer === jwt.claims.iss);
    if (!trust) return entra(401, 'invalid_client', 700211, 'No matching federated identity record found for presented assertion issuer.');
    if (trust.subject !== jwt.claims.sub) return entra(401, 'invalid_client', 700213, 'No matching federated identity record found for presented assertion subject.');
    if (refusal(jwt, {pem: trust.pem, algorithms: ['RS256', 'ES256'], audience: trust.audience}) === 'audience') return entra(401, 'invalid_client', 700212, 'No matching federated identity record found for presented assertion audience.');
    const why = refusal(jwt, {pem: trust.pem, algorithms: ['RS256', 'ES256'], audience: trust.audience});
    return why ? entra(401, 'invalid_client', why === 'expired' ? 700024 : 5000224, `Client assertion: ${why}`) : null;
  }
  const pem = application.certificates?.[jwt.header['x5t#S256']];
  if (!pem) return entra(401, 'invalid_client', 700027, "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found.]");
  const why = refusal(jwt, {pem, algorithms: ['PS256', 'RS256'], audience: `${state.origin}/${id}/oauth2/v2.0/token`, now_s: now, longest_s: 660});
  if (why === 'expired' || why === 'not yet valid') return entra(401, 'invalid_client', 700024, 'Client assertion is not within its valid time range.');
  if (why || jwt.claims.sub !== client || !jwt.claims.jti || state.jtis[jwt.claims.jti]) return entra(401, 'invalid_client', 700027, `Client assertion failed signature validation. ${why}`);
  state.jtis[jwt.claims.jti] = true;
  return null;
};

const token = (req, body, state, id) => {
  const form = new URLSearchParams(body.toString());
  const directory = state.directories[id];
  const client = form.get('client_id');
  if (req.method !== 'POST' || !/^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? '')) return entra(400, 'invalid_request', 900144, 'The request body is no form.');
  if (!directory) return entra(400, 'invalid_request', 90002, `Tenant '${id}' not found.`);
  const application = directory.applications[client];
  if (!application) return entra(400, 'unauthorized_client', 700016, `Application with identifier '${client}' was not found in the directory.`);
  if (form.get('grant_type') !== 'client_credentials') return entra(400, 'unsupported_grant_type', 70003, 'grant_type');
  if (form.get('scope') !== 'https://vault.azure.net/.default') return entra(400, 'invalid_scope', 70011, 'The provided value for scope is not valid.');
  const refused = prove(form, id, client, application, state);
  if (refused) return refused;
  if (application.disabled) return entra(400, 'unauthorized_client', 7000112, 'Application is disabled.');
  const made = `eyJ.${crypto.randomBytes(200).toString('base64url')}.x`;
  state.tokens[made] = {client, directory: id, until: Date.now() + 3599000};
  return json(200, {token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: made});
};

const secret = (req, state, name, version) => {
  const host = req.headers.host.split(':')[0];
  const vault = state.vaults[host] ?? state.vaults[''];
  const given = /^Bearer (\S+)$/.exec(req.headers.authorization ?? '')?.[1];
  const known = state.tokens[given];
  const url = new URL(req.url, 'http://x');
  if (!vault) return refuse(404, 'VaultNotFound', 'The vault could not be found.');
  if (!known || known.until < Date.now() || known.directory !== vault.directory) {
    return json(401, {error: {code: 'Unauthorized', message: given ? 'AKV10032: Invalid issuer.' : 'AKV10000: Request is missing a Bearer or PoP token.'}},
      {'www-authenticate': `Bearer authorization="${state.origin}/${vault.directory}", resource="https://vault.azure.net"`});
  }
  if (!/^(7\.[3-9]|2025-07-01|7\.6-preview\.\d)$/.test(url.searchParams.get('api-version') ?? '')) return refuse(400, 'BadParameter', 'The specified version is not recognized.');
  if (vault.firewall) return refuse(403, 'Forbidden', "Client address is not authorized and caller is not a trusted service.", 'ForbiddenByFirewall');
  if (!vault.readers.includes(known.client)) return refuse(403, 'Forbidden', 'Caller is not authorized to perform action on resource.', 'ForbiddenByRbac');
  const found = vault.secrets[name];
  const id = version || found?.current;
  const value = found?.versions[id];
  if (!value) return refuse(404, 'SecretNotFound', `A secret with (name/id) ${name}${version ? `/${version}` : ''} was not found in this key vault.`);
  if (value.enabled === false) return refuse(403, 'Forbidden', 'Operation get is not allowed on a disabled secret.', 'SecretDisabled');
  return json(200, {value: value.value, id: `https://${req.headers.host}/secrets/${name}/${id}`, attributes: {enabled: true, created: 1, updated: 1, recoveryLevel: 'Recoverable'}});
};

export const answer = (req, body, state) => {
  const path = decodeURIComponent(new URL(req.url, 'http://x').pathname);
  const asked = /^\/secrets\/([0-9A-Za-z-]{1,127})\/?([0-9a-f]{32})?$/.exec(path);
  if (asked) return req.method === 'GET' ? secret(req, state, asked[1], asked[2] ?? '') : refuse(405, 'MethodNotAllowed', '');
  const login = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(path);
  if (login) return token(req, body, state, login[1]);
  const metadata = /^\/([^/]+)\/v2\.0\/\.well-known\/openid-configuration$/.exec(path);
  if (metadata) {
    const base = `${state.origin}/${metadata[1]}`;
    return json(200, {token_endpoint: `${base}/oauth2/v2.0/token`, authorization_endpoint: `${base}/oauth2/v2.0/authorize`, issuer: `${base}/v2.0`, jwks_uri: `${base}/discovery/v2.0/keys`});
  }
  return refuse(404, 'NotFound', path);
};

// SPDX-License-Identifier: Apache-2.0
// AWS STS (AssumeRole) and Secrets Manager. Strict: Signature Version 4 over every signed header and the body, the time within
// five minutes, the region and service of the scope, session tokens with the keys that they came with and their end, trust
// policies with external ids, permissions by role and secret.
//
// state: {region, skew_s (of this clock), principals: {access key: {secret, arn, session?}}, roles: {arn: {trusts: [arn],
// external_id?, allows: [secret name], session_s?}}, secrets: {name: {versions: {id: {text|binary}}, stages: {stage: id},
// deleted?, key_disabled?}}}
import crypto from 'node:crypto';

const ACCOUNT = '123456789012';
const hash = (data) => crypto.createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();

export const initial = () => ({
  region: 'eu-central-1',
  skew_s: 0,
  principals: {AKIAKEYSTILE: {secret: 'base/secret+key', arn: 'arn:aws:iam::999999999999:user/keystile', allows: []}},
  sessions: {},
  roles: {},
  secrets: {},
});

export const action = (req, body) => {
  const target = req.headers['x-amz-target'];
  if (target) return target.split('.')[1];
  return new URLSearchParams(body.toString()).get('Action') ?? '';
};

const json = (status, type, message) => ({
  status,
  headers: {'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': type},
  body: JSON.stringify({__type: type, Message: message}),
});
const xml = (status, code, message) => ({
  status,
  headers: {'content-type': 'text/xml'},
  body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <Error>\n    <Type>Sender</Type>\n    <Code>${code}</Code>\n`
    + `    <Message>${message.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</Message>\n  </Error>\n  <RequestId>r-1</RequestId>\n</ErrorResponse>\n`,
});

export const throttled = (req) => (req.headers['x-amz-target'] ? json(400, 'ThrottlingException', 'Rate exceeded') : xml(400, 'Throttling', 'Rate exceeded'));
export const failed = (req) => (req.headers['x-amz-target'] ? json(500, 'InternalServiceError', 'An error occurred on the server side.') : xml(500, 'InternalFailure', 'The request processing has failed.'));

const uri = (text, slashes) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  .replaceAll('%2F', slashes ? '%2F' : '/');

const canonical = (req, body, names) => {
  const url = new URL(req.url, 'http://x');
  const query = [...url.searchParams].map(([k, v]) => [uri(k, true), uri(v, true)]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1))
    .map(([k, v]) => `${k}=${v}`).join('&');
  const headers = names.map((name) => `${name}:${(req.headers[name] ?? '').trim().replace(/\s+/g, ' ')}\n`).join('');
  return [req.method, uri(decodeURIComponent(url.pathname), false), query, headers, names.join(';'), hash(body)].join('\n');
};

// Who asks, or how it is refused.
export const authenticate = (req, body, state, service) => {
  const refuse = service === 'sts' ? xml : json;
  const expired = service === 'sts' ? 'ExpiredToken' : 'ExpiredTokenException';
  const invalid = service === 'sts' ? 'SignatureDoesNotMatch' : 'InvalidSignatureException';
  const unknown = service === 'sts' ? 'InvalidClientTokenId' : 'UnrecognizedClientException';
  const given = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/
    .exec(req.headers.authorization ?? '');
  if (!given) return {refused: refuse(403, req.headers.authorization ? 'IncompleteSignature' : 'MissingAuthenticationToken', 'Authorization header')};
  const [, id, day, region, scope, signed, signature] = given;
  const names = signed.split(';');
  const date = req.headers['x-amz-date'] ?? '';
  const when = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (!when || !date.startsWith(day)) return {refused: refuse(403, invalid, 'Date in Credential scope does not match')};
  const now = Date.now() / 1000 + state.skew_s;
  const at = Date.UTC(when[1], when[2] - 1, when[3], when[4], when[5], when[6]) / 1000;
  const need = ['host', 'x-amz-date', ...Object.keys(req.headers).filter((n) => n.startsWith('x-amz-') && n !== 'x-amz-user-agent')];
  if (need.some((name) => !names.includes(name))) return {refused: refuse(403, invalid, `Headers that must be signed: ${need}`)};
  if (region !== state.region || scope !== service)
    return {refused: refuse(403, invalid, 'Credential should be scoped to a valid region and correct service')};
  const session = state.sessions[id];
  const principal = session ?? state.principals[id];
  if (!principal) return {refused: refuse(service === 'sts' ? 403 : 400, unknown, 'The security token included in the request is invalid.')};
  const token = req.headers['x-amz-security-token'];
  if ((principal.token ?? undefined) !== token) return {refused: refuse(400, unknown, 'The security token included in the request is invalid.')};
  const key = ['aws4_request'].reduce(hmac, [day, region, scope].reduce(hmac, `AWS4${principal.secret}`));
  const text = ['AWS4-HMAC-SHA256', date, `${day}/${region}/${scope}/aws4_request`, hash(canonical(req, body, names))].join('\n');
  const right = hmac(key, text).toString('hex');
  if (!crypto.timingSafeEqual(Buffer.from(right), Buffer.from(signature)))
    return {refused: refuse(403, invalid, 'The request signature we calculated does not match the signature you provided.')};
  if (now - at > 300) return {refused: refuse(403, invalid, `Signature expired: ${date} is now earlier than ${now}`)};
  if (at - now > 300) return {refused: refuse(403, invalid, `Signature not yet current: ${date} is still later than ${now}`)};
  if (session && session.until < Date.now()) return {refused: refuse(400, expired, 'The security token included in the request is expired')};
  return {principal};
};

const assume = (form, principal, state) => {
  const arn = form.get('RoleArn') ?? '';
  const name = form.get('RoleSessionName') ?? '';
  const external = form.get('ExternalId');
  const role = state.roles[arn];
  if (!/^arn:aws:iam::\d{12}:role\/[\w+=,.@/-]+$/.test(arn)) return xml(400, 'ValidationError', `${arn} is invalid`);
  if (!/^[\w+=,.@-]{2,64}$/.test(name)) return xml(400, 'ValidationError', "Value at 'roleSessionName' failed to satisfy constraint");
  if (external !== null && !/^[\w+=,.@:/-]{2,1224}$/.test(external)) return xml(400, 'ValidationError', "Value at 'externalId' failed to satisfy constraint");
  const seconds = Number(form.get('DurationSeconds') ?? '3600');
  if (!(seconds >= 900 && seconds <= 43200)) return xml(400, 'ValidationError', "Value at 'durationSeconds' failed to satisfy constraint");
  // The real one says the same of all four.
  if (!role || !role.trusts.includes(principal.arn) || (role.external_id !== undefined && role.external_id !== external))
    return xml(403, 'AccessDenied', `User: ${principal.arn} is not authorized to perform: sts:AssumeRole on resource: ${arn}`);
  const id = `ASIA${crypto.randomBytes(8).toString('hex').toUpperCase()}`;
  const until = Date.now() + (role.session_s ?? seconds) * 1000;
  const made = {secret: crypto.randomBytes(30).toString('base64'), token: crypto.randomBytes(300).toString('base64'), arn: `${arn}/${name}`, role: arn, until};
  state.sessions[id] = made;
  return {
    status: 200,
    headers: {'content-type': 'text/xml'},
    body: `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <AssumeRoleResult>\n    <AssumedRoleUser>\n`
      + `      <AssumedRoleId>AROA:${name}</AssumedRoleId>\n      <Arn>arn:aws:sts::${ACCOUNT}:assumed-role/${name}</Arn>\n    </AssumedRoleUser>\n`
      + `    <Credentials>\n      <AccessKeyId>${id}</AccessKeyId>\n      <SecretAccessKey>${made.secret}</SecretAccessKey>\n`
      + `      <SessionToken>${made.token}</SessionToken>\n      <Expiration>${new Date(until).toISOString()}</Expiration>\n    </Credentials>\n`
      + `  </AssumeRoleResult>\n  <ResponseMetadata>\n    <RequestId>r-2</RequestId>\n  </ResponseMetadata>\n</AssumeRoleResponse>\n`,
  };
};

// ---- Secrets Manager

const arnOf = (state, name) => `arn:aws:secretsmanager:${state.region}:${ACCOUNT}:secret:${name}-AbCdEf`;
const nameOf = (state, id) => Object.keys(state.secrets).find((name) => id === name || id === arnOf(state, name) || id === arnOf(state, name).slice(0, -7));
const good = (answer) => ({status: 200, headers: {'content-type': 'application/x-amz-json-1.1'}, body: JSON.stringify(answer)});
const NOT_FOUND = "Secrets Manager can't find the specified secret";

const get = (state, secret, name, input) => {
  const {VersionId: id, VersionStage: stage} = input;
  const chosen = id ?? secret.stages[stage ?? 'AWSCURRENT'];
  if (id && stage && secret.stages[stage] !== id) return json(400, 'InvalidRequestException', 'You provided a VersionStage that is not associated to the provided VersionId.');
  if (!chosen || !secret.versions[chosen])
    return json(400, 'ResourceNotFoundException', `${NOT_FOUND} value for ${id ? `VersionId: ${id}` : `staging label: ${stage ?? 'AWSCURRENT'}`}`);
  if (secret.key_disabled) return json(400, 'DecryptionFailure', "Secrets Manager can't decrypt the protected secret text using the provided KMS key.");
  if (secret.key_denied) return json(400, 'AccessDeniedException', 'Access to KMS is not allowed');
  const value = secret.versions[chosen];
  return good({
    ARN: arnOf(state, name), Name: name, VersionId: chosen, CreatedDate: 1.7e9,
    VersionStages: Object.keys(secret.stages).filter((s) => secret.stages[s] === chosen),
    ...(value.binary !== undefined ? {SecretBinary: value.binary} : {SecretString: value.text}),
  });
};

const move = (secret, stage, to) => {
  if (stage === 'AWSCURRENT' && secret.stages.AWSCURRENT && secret.stages.AWSCURRENT !== to) secret.stages.AWSPREVIOUS = secret.stages.AWSCURRENT;
  secret.stages[stage] = to;
};

const put = (state, secret, name, input) => {
  const id = input.ClientRequestToken;
  if (!/^[A-Za-z0-9-]{32,64}$/.test(id ?? '')) return json(400, 'InvalidParameterException', 'ClientRequestToken is invalid.');
  if ((input.SecretString === undefined) === (input.SecretBinary === undefined)) return json(400, 'InvalidParameterException', 'You must provide either SecretString or SecretBinary.');
  const value = input.SecretBinary !== undefined ? {binary: input.SecretBinary} : {text: input.SecretString};
  const there = secret.versions[id];
  if (there && JSON.stringify(there) !== JSON.stringify(value)) return json(400, 'ResourceExistsException', "You can't use ClientRequestToken because that value is already in use for a version of secret.");
  secret.versions[id] = value;
  for (const stage of input.VersionStages ?? ['AWSCURRENT']) move(secret, stage, id);
  if (!secret.stages.AWSCURRENT) secret.stages.AWSCURRENT = id;
  return good({ARN: arnOf(state, name), Name: name, VersionId: id, VersionStages: Object.keys(secret.stages).filter((s) => secret.stages[s] === id)});
};

const stage = (state, secret, name, input) => {
  const {VersionStage: label, MoveToVersionId: to, RemoveFromVersionId: from} = input;
  if (!label) return json(400, 'InvalidParameterException', 'VersionStage');
  if ((to && !secret.versions[to]) || (from && !secret.versions[from])) return json(400, 'ResourceNotFoundException', `${NOT_FOUND} value for VersionId: ${to ?? from}`);
  if (secret.stages[label] && to && secret.stages[label] !== to && secret.stages[label] !== from)
    return json(400, 'InvalidParameterException', `The parameter RemoveFromVersionId can't be empty. Staging label ${label} is currently attached to version ${secret.stages[label]}, so you must explicitly reference that version in RemoveFromVersionId.`);
  if (from && secret.stages[label] !== from) return json(400, 'InvalidParameterException', `Staging label ${label} is not attached to RemoveFromVersionId`);
  if (!to && label === 'AWSCURRENT') return json(400, 'InvalidParameterException', 'AWSCURRENT can be moved, not removed');
  if (to) move(secret, label, to);
  else delete secret.stages[label];
  return good({ARN: arnOf(state, name), Name: name});
};

const OF_SECRETS = {GetSecretValue: get, PutSecretValue: put, UpdateSecretVersionStage: stage};

const secrets = (req, body, state, principal) => {
  const name = action(req, body);
  const input = JSON.parse(body.toString());
  const allows = principal.role ? state.roles[principal.role]?.allows ?? [] : principal.allows ?? [];
  if (name === 'CreateSecret') {
    if (!allows.some((a) => input.Name?.startsWith(a))) return json(400, 'AccessDeniedException', `User: ${principal.arn} is not authorized to perform: secretsmanager:CreateSecret`);
    if (!/^[A-Za-z0-9/_+=.@-]{1,512}$/.test(input.Name)) return json(400, 'InvalidParameterException', 'Invalid name.');
    if (state.secrets[input.Name]?.deleted) return json(400, 'InvalidRequestException', "You can't create this secret because a secret with this name is already scheduled for deletion.");
    if (state.secrets[input.Name]) return json(400, 'ResourceExistsException', `The operation failed because the secret ${input.Name} already exists.`);
    state.secrets[input.Name] = {versions: {}, stages: {}};
    if (input.SecretString === undefined && input.SecretBinary === undefined) return good({ARN: arnOf(state, input.Name), Name: input.Name});
    return put(state, state.secrets[input.Name], input.Name, input);
  }
  if (typeof input.SecretId !== 'string') return json(400, 'ValidationException', 'SecretId');
  const found = nameOf(state, input.SecretId);
  if (!allows.some((a) => (found ?? input.SecretId).startsWith(a)))
    return json(400, 'AccessDeniedException', `User: ${principal.arn} is not authorized to perform: secretsmanager:${name} on resource: ${input.SecretId} because no identity-based policy allows the secretsmanager:${name} action`);
  if (!found) return json(400, 'ResourceNotFoundException', `${NOT_FOUND}.`);
  if (name === 'DeleteSecret') {
    if (input.ForceDeleteWithoutRecovery) delete state.secrets[found];
    else state.secrets[found].deleted = true;
    return good({ARN: arnOf(state, found), Name: found, DeletionDate: 1.7e9});
  }
  if (state.secrets[found].deleted) return json(400, 'InvalidRequestException', "You can't perform this operation on the secret because it was marked for deletion.");
  return OF_SECRETS[name] ? OF_SECRETS[name](state, state.secrets[found], found, input) : json(400, 'UnknownOperationException', name);
};

export const answer = (req, body, state) => {
  const target = req.headers['x-amz-target'];
  const service = target ? 'secretsmanager' : 'sts';
  if (req.method !== 'POST' || req.url !== '/') return json(404, 'UnknownOperationException', '');
  const {principal, refused} = authenticate(req, body, state, service);
  if (refused) return refused;
  if (service === 'secretsmanager') {
    if (req.headers['content-type'] !== 'application/x-amz-json-1.1') return json(404, 'UnknownOperationException', '');
    return secrets(req, body, state, principal);
  }
  const form = new URLSearchParams(body.toString());
  if (form.get('Version') !== '2011-06-15' || !/^application\/x-www-form-urlencoded/.test(req.headers['content-type'])) return xml(400, 'InvalidAction', 'Version');
  return form.get('Action') === 'AssumeRole' ? assume(form, principal, state) : xml(400, 'InvalidAction', 'Action');
};

// SPDX-License-Identifier: Apache-2.0
// The official clients against the fakes: node official.mjs PORTS_JSON, with what each fake knows put there by this program.
// Each check prints one line, "ok NAME" or "failed NAME: why"; the last line is "done". The certificate of the fakes is
// trusted by NODE_EXTRA_CA_CERTS.
import crypto from 'node:crypto';

import {GetSecretValueCommand, PutSecretValueCommand, SecretsManagerClient, UpdateSecretVersionStageCommand, CreateSecretCommand} from '@aws-sdk/client-secrets-manager';
import {AssumeRoleCommand, STSClient} from '@aws-sdk/client-sts';
import {ClientAssertionCredential, ClientCertificateCredential, ClientSecretCredential} from '@azure/identity';
import {SecretClient} from '@azure/keyvault-secrets';
import {SecretManagerServiceClient} from '@google-cloud/secret-manager';
import {ExternalAccountClient, Impersonated, JWT} from 'google-auth-library';
import nodeVault from 'node-vault';
import fs from 'node:fs';

const ports = JSON.parse(process.argv[2]);
const state = (store, value) => fetch(`http://127.0.0.1:${ports[store]}/_fake`, {method: 'POST', body: JSON.stringify({state: value})});
let failures = 0;

const check = async (name, run) => {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failures++;
    console.log(`failed ${name}: ${error?.stack ?? error}`);
  }
};
const equal = (got, wanted) => {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(got)} is not ${JSON.stringify(wanted)}`);
};
// The error that it ends with, as its name.
const refused = async (promise, wanted) => {
  let said = 'nothing';
  try {
    await promise;
  } catch (error) {
    said = [error.name, error.code, error.message, error.reason, error.response?.data && JSON.stringify(error.response.data)].join(' ');
  }
  if (!said.includes(wanted)) throw new Error(`${said} is not ${wanted}`);
};

// ---- AWS
const ROLE = 'arn:aws:iam::123456789012:role/official';
const version = crypto.randomUUID();
await state('aws', {
  roles: {[ROLE]: {trusts: ['arn:aws:iam::999999999999:user/keystile'], external_id: 'right-id', allows: ['official']}},
  secrets: {official: {versions: {[version]: {text: 'aws value'}}, stages: {AWSCURRENT: version}}, binary: {versions: {[version]: {binary: 'AAEC'}}, stages: {AWSCURRENT: version}}},
  principals: {AKIAKEYSTILE: {allows: ['binary', 'made']}},
});
const base = {accessKeyId: 'AKIAKEYSTILE', secretAccessKey: 'base/secret+key'};
const options = (credentials, more) => ({endpoint: `http://127.0.0.1:${ports.aws}`, region: 'eu-central-1', credentials, maxAttempts: 1, ...more});
const assume = (credentials, external, more) => new STSClient(options(credentials, more))
  .send(new AssumeRoleCommand({RoleArn: ROLE, RoleSessionName: 'official', ExternalId: external, DurationSeconds: 900}));
const session = async () => {
  const {Credentials: c} = await assume(base, 'right-id');
  return {accessKeyId: c.AccessKeyId, secretAccessKey: c.SecretAccessKey, sessionToken: c.SessionToken};
};
const get = (credentials, input, more) => new SecretsManagerClient(options(credentials, more)).send(new GetSecretValueCommand(input));
await check('aws: a role is assumed and a secret read', async () => {
  const answer = await get(await session(), {SecretId: 'official'});
  equal([answer.SecretString, answer.VersionId, answer.VersionStages], ['aws value', version, ['AWSCURRENT']]);
});
await check('aws: binary', async () => equal([...(await get(base, {SecretId: 'binary'})).SecretBinary], [0, 1, 2]));
await check('aws: another secret key', () => refused(assume({...base, secretAccessKey: 'other'}, 'right-id'), 'SignatureDoesNotMatch'));
await check('aws: another secret key at Secrets Manager', () => refused(get({...base, secretAccessKey: 'other'}, {SecretId: 'official'}), 'InvalidSignatureException'));
await check('aws: an unknown key', () => refused(assume({...base, accessKeyId: 'AKIAOTHER'}, 'right-id'), 'InvalidClientTokenId'));
await check('aws: another region', () => refused(assume(base, 'right-id', {region: 'us-east-1'}), 'SignatureDoesNotMatch'));
await check('aws: a clock that is late', () => refused(get(base, {SecretId: 'binary'}, {systemClockOffset: -600000}), 'InvalidSignatureException'));
await check('aws: another external id', () => refused(assume(base, 'wrong-id'), 'AccessDenied'));
await check('aws: no external id', () => refused(assume(base, undefined), 'AccessDenied'));
await check('aws: a session without its token', async () => refused(get({...await session(), sessionToken: undefined}, {SecretId: 'official'}), 'UnrecognizedClientException'));
await check('aws: a session whose token was altered', async () => {
  const made = await session();
  await refused(get({...made, sessionToken: `${made.sessionToken}x`}, {SecretId: 'official'}), 'UnrecognizedClientException');
});
await check('aws: a session that ended', async () => {
  await state('aws', {roles: {[ROLE]: {session_s: -1}}});
  await refused(get(await session(), {SecretId: 'official'}), 'ExpiredTokenException');
  await state('aws', {roles: {[ROLE]: {session_s: null}}});
});
await check('aws: a body that was altered on its way', async () => {
  const client = new SecretsManagerClient(options(base));
  client.middlewareStack.add((next) => (args) => {
    args.request.body = Buffer.from(args.request.body.toString().replace('official', 'officiol'));
    return next(args);
  }, {step: 'finalizeRequest', priority: 'low'});
  await refused(client.send(new GetSecretValueCommand({SecretId: 'official'})), 'InvalidSignatureException');
});
await check('aws: a secret that the role does not allow', async () => refused(get(await session(), {SecretId: 'binary'}), 'AccessDeniedException'));
await check('aws: a secret that is not there', async () => refused(get(await session(), {SecretId: 'official-gone'}), 'ResourceNotFoundException'));
await check('aws: stages move', async () => {
  const client = new SecretsManagerClient(options(base));
  const [one, two] = [crypto.randomUUID(), crypto.randomUUID()];
  await client.send(new CreateSecretCommand({Name: 'made/official', SecretString: '1', ClientRequestToken: one}));
  await client.send(new PutSecretValueCommand({SecretId: 'made/official', SecretString: '2', ClientRequestToken: two, VersionStages: ['AWSPENDING']}));
  equal((await get(base, {SecretId: 'made/official'})).SecretString, '1');
  await client.send(new UpdateSecretVersionStageCommand({SecretId: 'made/official', VersionStage: 'AWSCURRENT', MoveToVersionId: two, RemoveFromVersionId: one}));
  equal((await get(base, {SecretId: 'made/official'})).SecretString, '2');
  equal((await get(base, {SecretId: 'made/official', VersionStage: 'AWSPREVIOUS'})).SecretString, '1');
  await refused(client.send(new UpdateSecretVersionStageCommand({SecretId: 'made/official', VersionStage: 'AWSCURRENT', MoveToVersionId: one})), 'InvalidParameterException');
});

// ---- Google
const pair = () => crypto.generateKeyPairSync('rsa', {modulusLength: 2048, publicKeyEncoding: {type: 'spki', format: 'pem'}, privateKeyEncoding: {type: 'pkcs8', format: 'pem'}});
const account = pair();
const other = pair();
const EMAIL = 'keystile@operator-1.iam.gserviceaccount.com';
const READER = 'reader@acme-1.iam.gserviceaccount.com';
const AUDIENCE = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/official';
await state('gcp', {
  accounts: {[EMAIL]: {keys: {k1: account.publicKey}}, [READER]: {keys: {}, impersonators: [EMAIL]}},
  providers: {[AUDIENCE]: {issuer: 'https://issuer.example', pem: account.publicKey, audience: 'official'}},
  secrets: {
    'projects/acme-1/secrets/official': {readers: [EMAIL, READER, `principal:${AUDIENCE}/org_1`], versions: {1: {data: Buffer.from('gcp 1').toString('base64'), state: 'DISABLED'}, 2: {data: Buffer.from('gcp 2').toString('base64'), state: 'ENABLED'}}},
    'projects/acme-1/secrets/another': {readers: [], versions: {1: {data: 'eA==', state: 'ENABLED'}}},
  },
});
const google = (authClient) => new SecretManagerServiceClient({fallback: true, protocol: 'http', apiEndpoint: '127.0.0.1', port: ports.gcp, authClient});
const access = async (authClient, name = 'projects/acme-1/secrets/official/versions/latest') => {
  const [answer] = await google(authClient).accessSecretVersion({name}, {retry: null, timeout: 5000});
  return [Buffer.from(answer.payload.data).toString(), answer.name.split('/').pop()];
};
const jwt = (key, kid = 'k1') => new JWT({email: EMAIL, key, keyId: kid});
await check('gcp: a service account reads', async () => equal(await access(jwt(account.privateKey)), ['gcp 2', '2']));
await check('gcp: another key', () => refused(access(jwt(other.privateKey)), 'UNAUTHENTICATED'));
await check('gcp: an unknown key', () => refused(access(jwt(account.privateKey, 'k2')), 'UNAUTHENTICATED'));
await check('gcp: a disabled version', () => refused(access(jwt(account.privateKey), 'projects/acme-1/secrets/official/versions/1'), 'DISABLED'));
await check('gcp: a version that is not there', () => refused(access(jwt(account.privateKey), 'projects/acme-1/secrets/official/versions/9'), 'not found'));
await check('gcp: a secret of another', () => refused(access(jwt(account.privateKey), 'projects/acme-1/secrets/another/versions/1'), 'denied'));
const outside = (claims, key = account.privateKey) => {
  const now = Math.floor(Date.now() / 1000);
  const input = [{alg: 'RS256', typ: 'JWT', kid: 'x'}, {iss: 'https://issuer.example', aud: 'official', sub: 'org_1', iat: now, exp: now + 300, ...claims}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${crypto.sign('sha256', Buffer.from(input), key).toString('base64url')}`;
};
const federated = (token, more) => {
  const file = `${process.env.SCRATCH}/token-${crypto.randomUUID()}`;
  fs.writeFileSync(file, token);
  return ExternalAccountClient.fromJSON({
    type: 'external_account', audience: AUDIENCE, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt', token_url: `https://localhost:${ports.gcp_tls}/v1/token`,
    credential_source: {file}, scopes: ['https://www.googleapis.com/auth/cloud-platform'], ...more,
  });
};
await check('gcp: a pool exchanges a token', async () => equal(await access(federated(outside({}))), ['gcp 2', '2']));
await check('gcp: a token for another audience', () => refused(access(federated(outside({aud: 'other'}))), 'invalid_grant'));
await check('gcp: a token that ended', () => refused(access(federated(outside({exp: 1}))), 'invalid_grant'));
await check('gcp: a token by another key', () => refused(access(federated(outside({}, other.privateKey))), 'invalid_grant'));
await check('gcp: an unknown pool', () => refused(access(federated(outside({}), {audience: `${AUDIENCE}x`})), 'invalid_target'));
const impersonated = (source, target) => new Impersonated({sourceClient: source, targetPrincipal: target, targetScopes: ['https://www.googleapis.com/auth/cloud-platform'], lifetime: 300, delegates: [], endpoint: `https://localhost:${ports.gcp_tls}`});
await state('gcp', {accounts: {[READER]: {impersonators: [EMAIL, `principal:${AUDIENCE}/org_1`]}}});
await check('gcp: one acts as another', async () => equal(await access(impersonated(federated(outside({})), READER)), ['gcp 2', '2']));
await check('gcp: one may not act as another', () => refused(access(impersonated(federated(outside({sub: 'org_2'})), READER)), 'getAccessToken'));

// ---- Vault
await state('vault', {
  policies: {read: ['secret/data/official', 'kv2/data/*']}, tokens: {'hvs.root': {policies: ['read']}},
  approles: {'role-1': {secret_ids: ['secret-1'], policies: ['read']}},
  jwt: {kubernetes: {official: {pem: account.publicKey, issuer: 'https://issuer.example', audience: 'official', policies: ['read']}}},
  kv: {'|secret/official': {versions: {1: {data: {password: 'one'}}, 2: {data: {password: 'two'}}, 3: {data: {}, deleted: true}}}, 'team|kv2/a/b': {versions: {1: {data: {x: 1}}}}},
});
const vault = (more) => nodeVault({endpoint: `http://127.0.0.1:${ports.vault}`, ...more});
await check('vault: a token reads a version', async () => {
  const answer = await vault({token: 'hvs.root'}).read('secret/data/official?version=2');
  equal([answer.data.data, answer.data.metadata.version], [{password: 'two'}, 2]);
});
await check('vault: AppRole', async () => {
  const client = vault();
  await client.approleLogin({role_id: 'role-1', secret_id: 'secret-1'});
  equal((await client.read('secret/data/official?version=1')).data.data, {password: 'one'});
});
await check('vault: another secret id', () => refused(vault().approleLogin({role_id: 'role-1', secret_id: 'other'}), 'invalid role or secret ID'));
await check('vault: Kubernetes', async () => {
  const client = vault();
  const answer = await client.kubernetesLogin({mount_point: 'kubernetes', role: 'official', jwt: outside({})});
  equal((await vault({token: answer.auth.client_token}).read('secret/data/official?version=1')).data.data, {password: 'one'});
});
await check('vault: a token of another issuer', () => refused(vault().kubernetesLogin({mount_point: 'kubernetes', role: 'official', jwt: outside({iss: 'https://other.example'})}), 'issuer'));
await check('vault: a token signed by another', () => refused(vault().kubernetesLogin({mount_point: 'kubernetes', role: 'official', jwt: outside({}, other.privateKey)}), 'signature'));
await check('vault: an unknown token', () => refused(vault({token: 'hvs.other'}).read('secret/data/official'), 'permission denied'));
await check('vault: another path', () => refused(vault({token: 'hvs.root'}).read('secret/data/other'), 'permission denied'));
await check('vault: a deleted version', () => refused(vault({token: 'hvs.root'}).read('secret/data/official?version=3'), '404'));
await check('vault: a namespace', async () => equal((await vault({token: 'hvs.root', namespace: 'team'}).read('kv2/data/a/b')).data.data, {x: 1}));

// ---- Azure
const ORIGIN = `https://localhost:${ports.azure_tls}`;
const DIRECTORY = '11111111-2222-3333-4444-555555555555';
const CLIENT = '66666666-7777-8888-9999-000000000000';
const id = '0123456789abcdef0123456789abcdef';
const pem = fs.readFileSync(process.env.CLIENT_CERT, 'utf8');
const thumbprint = crypto.createHash('sha256').update(new crypto.X509Certificate(pem).raw).digest('base64url');
await state('azure', {
  origin: ORIGIN,
  directories: {[DIRECTORY]: {applications: {[CLIENT]: {secrets: ['right~secret'], expired_secrets: ['old'], certificates: {[thumbprint]: pem}, federated: [{issuer: 'https://issuer.example', subject: 'org_1', audience: 'api://AzureADTokenExchange', pem: account.publicKey}]}}}},
  vaults: {'': {directory: DIRECTORY, readers: [CLIENT], secrets: {official: {current: id, versions: {[id]: {value: 'azure value'}}}, off: {current: id, versions: {[id]: {value: 'x', enabled: false}}}}}},
});
const where = {authorityHost: ORIGIN, disableInstanceDiscovery: true, retryOptions: {maxRetries: 0}};
const key = (credential, name = 'official', more) => new SecretClient(ORIGIN, credential, {disableChallengeResourceVerification: true, retryOptions: {maxRetries: 0}}).getSecret(name, more);
const bySecret = (secret, client = CLIENT) => new ClientSecretCredential(DIRECTORY, client, secret, where);
await check('azure: a client secret', async () => {
  const answer = await key(bySecret('right~secret'));
  equal([answer.value, answer.properties.version], ['azure value', id]);
});
await check('azure: another client secret', () => refused(key(bySecret('wrong')), 'AADSTS7000215'));
await check('azure: an expired client secret', () => refused(key(bySecret('old')), 'AADSTS7000222'));
await check('azure: an unknown application', () => refused(key(bySecret('right~secret', '00000000-0000-0000-0000-000000000001')), 'AADSTS700016'));
await check('azure: a certificate', async () => equal((await key(new ClientCertificateCredential(DIRECTORY, CLIENT, process.env.CLIENT_BUNDLE, where))).value, 'azure value'));
await check('azure: a certificate that is not registered', () => refused(key(new ClientCertificateCredential(DIRECTORY, CLIENT, process.env.OTHER_BUNDLE, where)), 'AADSTS700027'));
const byToken = (claims, signer) => new ClientAssertionCredential(DIRECTORY, CLIENT, async () => outside({aud: 'api://AzureADTokenExchange', ...claims}, signer), where);
await check('azure: a federated credential', async () => equal((await key(byToken({}))).value, 'azure value'));
await check('azure: another subject', () => refused(key(byToken({sub: 'org_2'})), 'AADSTS700213'));
await check('azure: another signer', () => refused(key(byToken({}, other.privateKey)), 'AADSTS5000224'));
await check('azure: a token of nobody', () => refused(key({getToken: async () => ({token: 'eyJ.x.y', expiresOnTimestamp: Date.now() + 1e6})}), 'AKV10032'));
await check('azure: a disabled secret', () => refused(key(bySecret('right~secret'), 'off'), 'disabled'));
await check('azure: a secret that is not there', () => refused(key(bySecret('right~secret'), 'gone'), 'SecretNotFound'));

console.log('done');
process.exit(failures ? 1 : 0);

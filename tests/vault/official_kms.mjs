// SPDX-License-Identifier: Apache-2.0
// The official clients of key management services against the fakes: node official_kms.mjs PORTS_JSON; lines as of official.mjs.
import {DecryptCommand, EncryptCommand, KMSClient} from '@aws-sdk/client-kms';
import nodeVault from 'node-vault';

const ports = JSON.parse(process.argv[2]);
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
const refused = async (promise, wanted) => {
  let said = 'nothing';
  try {
    await promise;
  } catch (error) {
    said = `${error.name} ${error.message}`;
  }
  if (!said.includes(wanted)) throw new Error(`${said} is not ${wanted}`);
};

const KeyId = '1234abcd-12ab-34cd-56ef-1234567890ab';
const kms = (more, credentials) => new KMSClient({
  endpoint: `http://127.0.0.1:${ports.kms}`, region: 'eu-central-1', maxAttempts: 1,
  credentials: {accessKeyId: 'AKIAKEYSTILE', secretAccessKey: 'base/secret+key', ...credentials}, ...more,
});
const context = {keystile: 'b3Jn'};
let blob;
await check('kms: what was encrypted is decrypted', async () => {
  blob = (await kms().send(new EncryptCommand({KeyId, Plaintext: Buffer.from('data key'), EncryptionContext: context}))).CiphertextBlob;
  const {Plaintext} = await kms().send(new DecryptCommand({KeyId, CiphertextBlob: blob, EncryptionContext: context}));
  equal(Buffer.from(Plaintext).toString(), 'data key');
});
await check('kms: another context opens nothing', () => refused(kms().send(new DecryptCommand({KeyId, CiphertextBlob: blob, EncryptionContext: {keystile: 'b3Jx'}})), 'InvalidCiphertextException'));
await check('kms: no context opens nothing', () => refused(kms().send(new DecryptCommand({KeyId, CiphertextBlob: blob})), 'InvalidCiphertextException'));
await check('kms: an unknown key', () => refused(kms().send(new EncryptCommand({KeyId: 'nothing', Plaintext: Buffer.from('x')})), 'NotFoundException'));
await check('kms: a wrong secret key', () => refused(kms({}, {secretAccessKey: 'wrong'}).send(new EncryptCommand({KeyId, Plaintext: Buffer.from('x')})), 'InvalidSignatureException'));
await check('kms: a wrong region', () => refused(kms({region: 'us-east-1'}).send(new EncryptCommand({KeyId, Plaintext: Buffer.from('x')})), 'InvalidSignatureException'));
await check('kms: an unknown access key', () => refused(kms({}, {accessKeyId: 'AKIANOBODY'}).send(new EncryptCommand({KeyId, Plaintext: Buffer.from('x')})), 'UnrecognizedClientException'));
await check('kms: a clock that is off', () => refused(kms({systemClockOffset: 400000}).send(new EncryptCommand({KeyId, Plaintext: Buffer.from('x')})), 'InvalidSignatureException'));

const vault = (token) => nodeVault({endpoint: `http://127.0.0.1:${ports.transit}`, token});
const b64 = (text) => Buffer.from(text).toString('base64');
let ciphertext;
await check('transit: what was encrypted is decrypted', async () => {
  ciphertext = (await vault('hvs.keystile-transit').encryptData({name: 'keystile', plaintext: b64('data key'), context: b64('org')})).data.ciphertext;
  const {data} = await vault('hvs.keystile-transit').decryptData({name: 'keystile', ciphertext, context: b64('org')});
  equal(data.plaintext, b64('data key'));
});
await check('transit: another context opens nothing', () => refused(vault('hvs.keystile-transit').decryptData({name: 'keystile', ciphertext, context: b64('other')}), 'message authentication failed'));
await check('transit: no context is refused', () => refused(vault('hvs.keystile-transit').encryptData({name: 'keystile', plaintext: b64('x')}), "missing 'context'"));
await check('transit: a wrong token', () => refused(vault('hvs.wrong').encryptData({name: 'keystile', plaintext: b64('x'), context: b64('org')}), 'permission denied'));
await check('transit: an unknown key', () => refused(vault('hvs.keystile-transit').encryptData({name: 'nothing', plaintext: b64('x'), context: b64('org')}), 'encryption key not found'));
console.log('done');
process.exit(failures ? 1 : 0);

// SPDX-License-Identifier: Apache-2.0
// AWS KMS: Encrypt and Decrypt of a symmetric key, with the signature, the time and the encryption context checked. The ciphertext
// is AES-256-GCM with the context as its associated data.
//
// state: {region, skew_s, principals, sessions (as aws.mjs), keys: {id: {material (hex), disabled?}}}
import crypto from 'node:crypto';

import {authenticate, failed, throttled} from './aws.mjs';

export {failed, throttled};

export const initial = () => ({
  region: 'eu-central-1',
  skew_s: 0,
  principals: {AKIAKEYSTILE: {secret: 'base/secret+key', arn: 'arn:aws:iam::999999999999:user/keystile'}},
  sessions: {},
  keys: {'1234abcd-12ab-34cd-56ef-1234567890ab': {material: crypto.randomBytes(32).toString('hex')}},
});

export const action = (req) => (req.headers['x-amz-target'] ?? '').split('.')[1] ?? '';

const reply = (status, body) => ({status, headers: {'content-type': 'application/x-amz-json-1.1'}, body: JSON.stringify(body)});
const refuse = (type, message) => reply(400, {__type: type, message});
const bound = (context) => Buffer.from(JSON.stringify(Object.entries(context ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))));
const arn = (state, id) => `arn:aws:kms:${state.region}:123456789012:key/${id}`;

const encrypt = (state, input) => {
  const key = state.keys[input.KeyId];
  if (!key) return refuse('NotFoundException', `Key '${input.KeyId}' does not exist`);
  if (key.disabled) return refuse('DisabledException', `${arn(state, input.KeyId)} is disabled.`);
  const plain = Buffer.from(input.Plaintext ?? '', 'base64');
  if (plain.length < 1 || plain.length > 4096) return refuse('ValidationException', "Value at 'plaintext' failed to satisfy constraint");
  const nonce = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', Buffer.from(key.material, 'hex'), nonce).setAAD(bound(input.EncryptionContext));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  const id = Buffer.from(input.KeyId.padEnd(36));
  return reply(200, {CiphertextBlob: Buffer.concat([id, nonce, cipher.getAuthTag(), text]).toString('base64'), KeyId: arn(state, input.KeyId), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT'});
};

const decrypt = (state, input) => {
  const blob = Buffer.from(input.CiphertextBlob ?? '', 'base64');
  const id = blob.subarray(0, 36).toString().trim();
  const key = state.keys[id];
  if (input.KeyId !== undefined && input.KeyId !== id) return key ? refuse('IncorrectKeyException', 'The key ID in the request does not identify a CMK') : refuse('InvalidCiphertextException', '');
  if (!key) return refuse('InvalidCiphertextException', '');
  if (key.disabled) return refuse('DisabledException', `${arn(state, id)} is disabled.`);
  try {
    const cipher = crypto.createDecipheriv('aes-256-gcm', Buffer.from(key.material, 'hex'), blob.subarray(36, 48)).setAAD(bound(input.EncryptionContext));
    cipher.setAuthTag(blob.subarray(48, 64));
    const plain = Buffer.concat([cipher.update(blob.subarray(64)), cipher.final()]);
    return reply(200, {Plaintext: plain.toString('base64'), KeyId: arn(state, id), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT'});
  } catch {
    return refuse('InvalidCiphertextException', '');
  }
};

export const answer = (req, body, state) => {
  if (req.method !== 'POST' || req.url !== '/') return refuse('UnknownOperationException', '');
  const {refused} = authenticate(req, body, state, 'kms');
  if (refused) return refused;
  if (req.headers['content-type'] !== 'application/x-amz-json-1.1') return refuse('SerializationException', 'content type');
  const input = JSON.parse(body.toString());
  const [service, name] = (req.headers['x-amz-target'] ?? '').split('.');
  if (service !== 'TrentService' || !['Encrypt', 'Decrypt'].includes(name)) return refuse('UnknownOperationException', '');
  return name === 'Encrypt' ? encrypt(state, input) : decrypt(state, input);
};

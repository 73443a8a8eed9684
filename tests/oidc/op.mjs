// SPDX-License-Identifier: Apache-2.0
// The certified oidc-provider with its development pages: node op.mjs REDIRECT_URI. Writes "up PORT" and "rotated"; SIGHUP
// changes its keys; ends with its input.
import crypto from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const key = (kid) => ({...crypto.generateKeyPairSync('rsa', {modulusLength: 2048}).privateKey.export({format: 'jwk'}), kid, use: 'sig', alg: 'RS256'});
let issuer, number = 1, answer;

const build = () => {
  answer = new Provider(issuer, {
    clients: [{client_id: 'console', client_secret: 'console secret: +/%', redirect_uris: [process.argv[2]],
      grant_types: ['authorization_code'], response_types: ['code']}],
    jwks: {keys: [key(`k${number}`)]},
    cookies: {keys: ['a test']},
    scopes: ['openid', 'email', 'profile'],
    claims: {openid: ['sub'], email: ['email', 'email_verified'], profile: ['name']},
    pkce: {required: () => true},
    findAccount: (_, id) => ({accountId: id, claims: () => ({sub: id, email: `${id}@example.com`, email_verified: id !== 'mallory', name: id})}),
    features: {devInteractions: {enabled: true}},
  }).callback();
};

const server = http.createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  build();
  console.log(`up ${server.address().port}`);
});
process.on('SIGHUP', () => { number++; build(); console.log('rotated'); });
process.stdin.resume().on('end', () => process.exit(0));

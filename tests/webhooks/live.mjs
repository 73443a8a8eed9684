// SPDX-License-Identifier: Apache-2.0
// Requests as the platforms' own libraries sign them now: live.mjs reads {scheme: {url, secret}} from its standard input and writes
// {scheme: [{method, headers, body_base64}, …]}: some that are genuine.
import crypto from "node:crypto";
import { sign as octokitSign } from "@octokit/webhooks-methods";
import { httpbis, createSigner } from "http-message-signatures";
import { SignJWT } from "jose";
import { AccessToken } from "livekit-server-sdk";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

let text = "";
for await (const piece of process.stdin) text += piece;
const asked = JSON.parse(text);
const now = new Date(), seconds = Math.floor(now / 1000);
const json = { "Content-Type": "application/json" };
const bodies = ['{"event":"call.ended","id":7}', '{"text":"Grüße 東京 📞"}'];
const stripe = new Stripe("sk_test_x");
const id = () => "msg_" + crypto.randomUUID();

const signers = {
  "twilio.form": { bodies: [{ From: "+12125550100", Body: "Grüße 東京" }, { a: ["2", "1", "2"], b: "" }], form: true,
    sign: (key, body, url, fields) => ({ "X-Twilio-Signature": twilio.getExpectedTwilioSignature(key, url, fields) }) },
  "twilio.body-sha256": { urlOf: (url, body) => `${url}?bodySHA256=${twilio.getExpectedBodyHash(body)}`,
    sign: (key, body, url) => ({ "X-Twilio-Signature": twilio.getExpectedTwilioSignature(key, url, {}) }) },
  "stripe.v1": { sign: (key, payload) => ({ "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload, secret: key }) }) },
  "standardwebhooks.v1": { sign: (key, body) => { const i = id(); return { "webhook-id": i, "webhook-timestamp": String(seconds),
    "webhook-signature": new StandardWebhook(key).sign(i, now, body) }; } },
  "svix.v1": { sign: (key, body) => { const i = id(); return { "svix-id": i, "svix-timestamp": String(seconds),
    "svix-signature": new SvixWebhook(key).sign(i, now, body) }; } },
  "github.sha256": { sign: async (key, body) => ({ "X-GitHub-Delivery": id(), "X-Hub-Signature-256": await octokitSign(key, body) }) },
  "livekit.jwt": { sign: async (key, body) => {
    const token = new AccessToken("APIkey", key, { ttl: 300 });
    token.sha256 = crypto.createHash("sha256").update(body).digest("base64");
    return { Authorization: await token.toJwt() };
  } },
  "dialpad.jwt-body": { bodyOf: (key, body) => new SignJWT(JSON.parse(body)).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(key)), sign: () => ({}) },
  "rfc9421.request": { sign: async (key, body, url) => {
    const digest = `sha-256=:${crypto.createHash("sha256").update(body).digest("base64")}:`;
    const signed = await httpbis.signMessage({ key: createSigner(Buffer.from(key, "base64"), "hmac-sha256", "k"),
      fields: ["@method", "@target-uri", "content-digest"], params: ["created", "keyid"], paramValues: { created: now } },
      { method: "POST", url, headers: { "Content-Digest": digest } });
    return signed.headers;
  } },
};

const made = {};
for (const [scheme, { url: base, secret }] of Object.entries(asked)) {
  const s = signers[scheme];
  made[scheme] = [];
  for (const given of s.bodies ?? bodies) {
    const plain = s.form ? new URLSearchParams(Object.entries(given).flatMap(([k, v]) => [v].flat().map((w) => [k, w]))).toString() : given;
    const body = s.bodyOf ? await s.bodyOf(secret, plain) : plain;
    const url = s.urlOf ? s.urlOf(base, body) : base;
    const type = s.form ? { "Content-Type": "application/x-www-form-urlencoded" } : json;
    made[scheme].push({ url, headers: { ...type, ...await s.sign(secret, body, url, given) }, body_base64: Buffer.from(body).toString("base64") });
  }
}
process.stdout.write(JSON.stringify(made));

// SPDX-License-Identifier: Apache-2.0
// Requests as the platforms' own libraries sign them, in the form of the public vectors: each genuine one, and the same with
// another secret configured, with the body changed, and with the URL changed where the URL is signed.
import crypto from "node:crypto";
import { sign as octokitSign } from "@octokit/webhooks-methods";
import { httpbis, createSigner } from "http-message-signatures";
import { SignJWT } from "jose";
import { AccessToken } from "livekit-server-sdk";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const now = 1760000000;
const bodies = ['{"event":"call.ended","id":7}', '{"text":"Grüße 東京 📞"}', ""];
const whsec = () => "whsec_" + crypto.randomBytes(24).toString("base64");
const secret = () => crypto.randomBytes(16).toString("hex");
const json = ["Content-Type", "application/json"];

const stripe = new Stripe("sk_test_x");
const signers = {
  "twilio.form": { secret, bodies: [{ From: "+12125550100", To: "+12125550101", Body: "Grüße 東京" }, { a: ["2", "1", "2"], b: "" }, {}],
    form: true, url: "https://voice.example.com/twilio?x=1%20y",
    sign: (key, body, url, parameters) => [["X-Twilio-Signature", twilio.getExpectedTwilioSignature(key, url, parameters)]] },
  "twilio.body-sha256": { secret, bodies,
    url: "https://voice.example.com/twilio", urlOf: (url, body) => `${url}?bodySHA256=${twilio.getExpectedBodyHash(body)}`,
    sign: (key, body, url) => [["X-Twilio-Signature", twilio.getExpectedTwilioSignature(key, url, {})]] },
  "stripe.v1": { secret: () => "whsec_" + secret(), bodies: bodies.slice(0, 2),
    sign: (key, payload) => [["Stripe-Signature", stripe.webhooks.generateTestHeaderString({ payload, secret: key, timestamp: now })]] },
  "standardwebhooks.v1": { secret: whsec, bodies,
    sign: (key, body) => [["webhook-id", "msg_1"], ["webhook-timestamp", String(now)],
      ["webhook-signature", new StandardWebhook(key).sign("msg_1", new Date(now * 1000), body)]] },
  "svix.v1": { secret: whsec, bodies,
    sign: (key, body) => [["svix-id", "msg_1"], ["svix-timestamp", String(now)],
      ["svix-signature", new SvixWebhook(key).sign("msg_1", new Date(now * 1000), body)]] },
  "github.sha256": { secret, bodies: bodies.slice(0, 2),
    sign: async (key, body) => [["X-GitHub-Delivery", "d1"], ["X-Hub-Signature-256", await octokitSign(key, body)]] },
  "livekit.jwt": { secret: () => secret() + secret(), bodies, params: { issuer: "APIkey" }, now: () => Math.floor(Date.now() / 1000),
    sign: async (key, body) => {
      const token = new AccessToken("APIkey", key, { ttl: 300 });
      token.sha256 = crypto.createHash("sha256").update(body).digest("base64");
      return [["Authorization", await token.toJwt()]];
    } },
  "dialpad.jwt-body": { secret: () => secret() + secret(), bodies: bodies.slice(0, 2),
    bodyOf: (key, body) => new SignJWT(JSON.parse(body)).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(key)), sign: () => [] },
  "rfc9421.request": { secret: () => crypto.randomBytes(32).toString("base64"), bodies: bodies.slice(0, 2), url: "https://hooks.example.com/in?a=1",
    configure: (keys) => ({ keys: keys.map((secret_base64) => ({ keyid: "k", alg: "hmac-sha256", secret_base64 })),
      required_components: ["@method", "@target-uri", "content-digest"] }), single: true,
    sign: async (key, body, url) => {
      const digest = `sha-256=:${crypto.createHash("sha256").update(body).digest("base64")}:`;
      const signed = await httpbis.signMessage({ key: createSigner(Buffer.from(key, "base64"), "hmac-sha256", "k"),
        fields: ["@method", "@target-uri", "content-digest"], params: ["created", "keyid"], paramValues: { created: new Date(now * 1000) } },
        { method: "POST", url, headers: { "Content-Digest": digest } });
      return Object.entries(signed.headers);
    } },
};

const vectors = [];
for (const [scheme, s] of Object.entries(signers)) {
  for (const [i, given] of s.bodies.entries()) {
    const key = s.secret(), other = s.secret(), configure = s.configure ?? ((secrets) => ({ secrets, ...s.params }));
    const plain = s.form ? new URLSearchParams(Object.entries(given).flatMap(([k, v]) => [v].flat().map((w) => [k, w]))).toString() : given;
    const body = s.bodyOf ? await s.bodyOf(key, plain) : plain;
    const base = s.url ?? "https://hooks.example.com/in", url = s.urlOf ? s.urlOf(base, body) : base;
    const headers = [s.form ? ["Content-Type", "application/x-www-form-urlencoded"] : json, ...await s.sign(key, body, url, given)];
    const add = (name, expect, keys, changes = {}) => vectors.push({ id: `${scheme}/${name}-${i}`, scheme, level: "must", expect,
      params: configure(keys), now: s.now ? s.now() : now,
      request: { method: "POST", url, headers, body_base64: Buffer.from(changes.body ?? body).toString("base64"), ...changes.request } });
    add("genuine", "accept", [key]);
    if (!s.single) add("rotation", "accept", [other, key]);
    add("wrong-key", "reject", [other]);
    add("body-changed", "reject", [key], { body: body + (s.form ? "&z=1" : "x") });
    if (/twilio|rfc9421/.test(scheme)) add("url-changed", "reject", [key], { request: { url: url.replace("example", "example2") } });
  }
}
process.stdout.write(JSON.stringify(vectors));

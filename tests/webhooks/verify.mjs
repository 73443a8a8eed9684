// SPDX-License-Identifier: Apache-2.0
// What Keystile sent, as standard input has it ([{headers, body, secrets, public_keys}]), by the libraries that receivers use.
// For each: how many of the secrets each library verifies it with, and how many of the public keys node does.
import crypto from "node:crypto";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const verifies = (Webhook, secret, body, headers) => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), before its 32 bytes.
const spki = Buffer.from("302a300506032b6570032100", "hex");
const verifiesKey = (whpk, body, headers) => {
  const key = crypto.createPublicKey({ key: Buffer.concat([spki, Buffer.from(whpk.slice(5), "base64")]), format: "der", type: "spki" });
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  return headers["webhook-signature"].split(" ").filter((s) => s.startsWith("v1a,"))
    .some((s) => crypto.verify(null, signed, key, Buffer.from(s.slice(4), "base64")));
};

let text = "";
for await (const chunk of process.stdin) text += chunk;
const answers = JSON.parse(text).map(({ headers, body_base64, secrets = [], public_keys = [] }) => {
  const body = Buffer.from(body_base64, "base64").toString("utf8");
  return {
    standardwebhooks: secrets.filter((s) => verifies(StandardWebhook, s, body, headers)).length,
    svix: secrets.filter((s) => verifies(SvixWebhook, s, body, headers)).length,
    ed25519: public_keys.filter((k) => verifiesKey(k, body, headers)).length,
  };
});
process.stdout.write(JSON.stringify(answers));

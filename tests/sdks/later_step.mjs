// A later step of the job, in JavaScript: one signed call for each line of input, all by the same client.
//
// Answers each line with one of JSON: what STS says of the caller, or which exception came instead.

import { createInterface } from "node:readline";

// Beside the packages, wherever those were installed.
const { STSClient, GetCallerIdentityCommand } = await import("@aws-sdk/client-sts");

let client;
for await (const _ of createInterface({ input: process.stdin })) {
  let answer;
  try {
    client ??= new STSClient();
    const caller = await client.send(new GetCallerIdentityCommand());
    answer = { key: caller.UserId, token: caller.Arn };
  } catch (error) {
    answer = { error: error.name };
  }
  console.log(JSON.stringify(answer));
}

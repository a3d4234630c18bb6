// What a program with Anthropic's Node SDK does; one check a run: `node anthropic_node.mjs CHECK`. `anthropic_node.py`
// has the fake Google ready, and looks at what reached it. ANTHROPIC_BASE_URL says where agproxy is.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const MODEL = "claude-sonnet-5-5";
const client = new Anthropic({ maxRetries: 0, timeout: 30_000 });

const user = (content) => ({ role: "user", content });
const ASKED = { model: MODEL, max_tokens: 1000, messages: [user("Hi")] };
const THINKING = { type: "adaptive", display: "summarized" };
const TOOL = {
  name: "get_weather",
  description: "The weather in a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const said = (message) => message.content.map((block) => block.text ?? "").join("");

// The error that something is rejected with.
const rejected = async (promise, kind, status, type) => {
  const error = await promise.then(() => assert.fail("it was answered"), (reason) => reason);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  assert.equal(error.type, type);
  assert.match(error.requestID, /^req_/);
  return error;
};

const checks = {
  async create() {
    const { data, response } = await client.messages.create({ ...ASKED, system: "Be brief." }).withResponse();
    assert.equal(said(data), "Hello, wörld €");
    assert.match(data.id, /^msg_/);
    assert.deepEqual([data.type, data.role, data.model, data.stop_reason], ["message", "assistant", MODEL, "end_turn"]);
    const { input_tokens, cache_read_input_tokens, output_tokens, output_tokens_details } = data.usage;
    assert.deepEqual([input_tokens, cache_read_input_tokens, output_tokens], [65, 40, 50]);
    assert.equal(output_tokens_details.thinking_tokens, 30);
    assert.equal(data._request_id, response.headers.get("request-id"));
    assert.equal(response.headers.get("x-mapped-model"), "gemini-flash-latest");
    const counted = await client.messages.countTokens({ model: MODEL, messages: ASKED.messages, tools: [TOOL] });
    assert.ok(counted.input_tokens > 0);
    return `${said(data)}, ${output_tokens} tokens; ${counted.input_tokens} counted`;
  },

  async stream() {
    const stream = client.messages.stream({ ...ASKED, thinking: THINKING });
    const kinds = [];
    let told = "";
    let thought = "";
    stream.on("streamEvent", (event) => kinds.push(event.type));
    stream.on("text", (delta) => (told += delta));
    stream.on("thinking", (delta) => (thought += delta));
    const final = await stream.finalMessage();
    assert.deepEqual([told, thought], ["One, two, thrée", "I count."]);
    assert.deepEqual(final.content.map((block) => block.type), ["thinking", "text"]);
    assert.equal(said(final), told);
    assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens], [7, 3]);
    assert.deepEqual([kinds[0], ...kinds.slice(-2)], ["message_start", "message_delta", "message_stop"]);
    const events = [];
    for await (const event of await client.messages.create({ ...ASKED, stream: true })) events.push(event);
    assert.equal(events.at(-1).type, "message_stop");
    return `${kinds.length} and ${events.length} events`;
  },

  // The conversation is the client's: the model's blocks go back as they came.
  async tools() {
    const messages = [user("How cold is it?")];
    const asked = { ...ASKED, messages, model: "gemini-3-flash-preview", tools: [TOOL], thinking: THINKING };
    let last;
    for (const streamed of [false, true, false]) {
      last = streamed ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
      const calls = last.content.filter((block) => block.type === "tool_use");
      assert.equal(last.stop_reason, calls.length ? "tool_use" : "end_turn");
      const content = calls.map(({ id, input }) => ({
        type: "tool_result",
        tool_use_id: id,
        content: `5 degrees in ${input.city}`,
      }));
      messages.push({ role: "assistant", content: last.content }, user(content));
    }
    assert.equal(said(last), "It is cold.");
    const kinds = messages.slice(1, -1).flatMap(({ content }) => content.map((block) => block.type));
    const [thinking, call, result] = ["thinking", "tool_use", "tool_result"];
    assert.deepEqual(kinds, [thinking, call, call, result, result, thinking, call, result, "text"]);
    return kinds.join(", ");
  },

  // The SDK runs the loop by itself; it asks for threads first, which agproxy has not.
  async tool_runner() {
    const asked = [];
    const tool = betaZodTool({
      name: "get_weather",
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        asked.push(city);
        return `5 degrees in ${city}`;
      },
    });
    for (const stream of [false, true]) {
      const runner = client.beta.messages.toolRunner({ ...ASKED, tools: [tool], stream });
      assert.equal(said(await runner.runUntilDone()), "It is cold.");
    }
    assert.deepEqual(asked, ["Oslo", "Rome", "Bern", "Oslo", "Rome", "Bern"]);
    return asked.join(", ");
  },

  async parse() {
    const City = z.object({ name: z.string(), people: z.number().nullable() });
    const asked = { ...ASKED, output_config: { format: zodOutputFormat(City) } };
    const whole = await client.messages.parse(asked);
    assert.deepEqual(whole.parsed_output, { name: "Oslo", people: null });
    const streamed = await client.messages.stream(asked).finalMessage();
    assert.deepEqual(streamed.parsed_output, { name: "Oslo", people: null });
    return JSON.stringify(whole.parsed_output);
  },

  async models() {
    const models = [];
    for await (const model of client.models.list({ limit: 9 })) models.push(model);
    assert.ok(models.length > 9);
    assert.ok(models.every((model) => model.type === "model" && model.display_name && model.lifecycle === "active"));
    assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
    return `${models.length} models`;
  },

  async errors() {
    const bad = client.messages.create({ ...ASKED, messages: [user([{ type: "text" }])] });
    const refused = await rejected(bad, Anthropic.BadRequestError, 400, "invalid_request_error");
    const unknown = client.messages.create({ ...ASKED, model: "no-such-model" });
    await rejected(unknown, Anthropic.NotFoundError, 404, "not_found_error");
    const stranger = new Anthropic({ apiKey: "wrong", maxRetries: 0 });
    await rejected(stranger.messages.create(ASKED), Anthropic.AuthenticationError, 401, "authentication_error");
    const patient = new Anthropic({ maxRetries: 3 });
    const begun = Date.now();
    for (const ask of [
      () => patient.messages.create(ASKED),
      () => patient.messages.stream(ASKED).finalMessage(),
    ]) {
      const quota = await rejected(ask(), Anthropic.RateLimitError, 429, "rate_limit_error");
      assert.ok(Number(quota.headers.get("retry-after")) > 60);
    }
    assert.ok(Date.now() - begun < 5_000);
    return refused.message;
  },

  // A stream that has begun cannot have another status: the error comes in it.
  async broken_streams() {
    const seen = [];
    for (const open of [
      () => client.messages.create({ ...ASKED, stream: true }),
      async () => client.messages.stream(ASKED),
    ]) {
      let told = "";
      const read = async () => {
        for await (const event of await open()) told += event.delta?.text ?? "";
      };
      const error = await read().then(() => assert.fail("it has ended well"), (reason) => reason);
      assert.ok(error instanceof Anthropic.APIError, `${error?.constructor?.name}: ${error?.message}`);
      assert.equal(error.type, "api_error");
      assert.match(error.message, /broke in the middle of its answer/);
      assert.equal(told, "One, ");
      seen.push(error.message);
    }
    return seen.join("; ");
  },

  async abort() {
    const stream = await client.messages.create({ ...ASKED, stream: true });
    for await (const event of stream) {
      if (event.type === "content_block_delta") break;
    }
    return "left after the first delta";
  },
};

const [name] = process.argv.slice(2);
console.log(await checks[name]());

// What a program with OpenAI's Node SDK does; one check a run: `node openai_node.mjs CHECK`. `openai_node.py` has the
// fake Google ready, and looks at what reached it. OPENAI_BASE_URL and OPENAI_API_KEY say where agproxy is.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const MODEL = "gpt-4o";
const GEMINI = "gemini-3-flash-preview";
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });

const Weather = z.object({ city: z.string(), degrees: z.number(), sky: z.enum(["clear", "grey"]).nullable() });
const OSLO = { city: "Oslo", degrees: -5, sky: "grey" };
const TOOL = {
  type: "function",
  name: "get_weather",
  description: "The weather in a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

const user = (content) => ({ role: "user", content });
const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};

// The error that something is rejected with.
const rejected = async (promise, type, status, code) => {
  const error = await promise.then(() => assert.fail("it was answered"), (reason) => reason);
  assert.ok(error instanceof type, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  assert.ok(error.requestID.startsWith("req_"));
  return error;
};

const checks = {
  async responses_create() {
    const asked = { instructions: "Be brief.", input: "Say hello.", temperature: 0.5, metadata: { topic: "hello" } };
    const { data, response } = await client.responses.create({ model: MODEL, ...asked }).withResponse();
    assert.equal(data.output_text, "Hello, wörld €");
    assert.match(data.id, /^resp_/);
    assert.equal(data.object, "response");
    assert.equal(data.status, "completed");
    assert.equal(data.model, MODEL);
    assert.equal(data.instructions, "Be brief.");
    assert.deepEqual(data.metadata, { topic: "hello" });
    assert.equal(data.error, null);
    const { input_tokens, input_tokens_details, output_tokens, output_tokens_details, total_tokens } = data.usage;
    assert.deepEqual([input_tokens, output_tokens, total_tokens], [105, 50, 155]);
    assert.equal(input_tokens_details.cached_tokens, 40);
    assert.equal(output_tokens_details.reasoning_tokens, 30);
    assert.equal(response.headers.get("x-mapped-model"), "gemini-flash-latest");
    const counted = await client.responses.inputTokens.count({ model: MODEL, input: "Say hello." });
    assert.ok(counted.input_tokens > 0);
    return `${data.output_text}, ${data.usage.total_tokens} tokens`;
  },

  async responses_stream() {
    const stream = client.responses.stream({ model: GEMINI, input: "Count.", reasoning: { summary: "auto" } });
    const types = [];
    let told = "";
    stream.on("event", (event) => types.push(event.type));
    stream.on("response.output_text.delta", (event) => (told += event.delta));
    const final = await stream.finalResponse();
    assert.equal(told, "One, two, thrée");
    assert.equal(final.output_text, told);
    assert.equal(final.status, "completed");
    assert.deepEqual(final.output.map((item) => item.type), ["reasoning", "message"]);
    assert.equal(final.output[0].summary[0].text, "I count.");
    assert.equal(types[0], "response.created");
    assert.equal(types.at(-1), "response.completed");
    const events = await collect(await client.responses.create({ model: MODEL, input: "Count.", stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    return `${types.length} and ${events.length} events`;
  },

  // The conversation is the client's: the model's items go back with the results.
  async responses_tools() {
    const input = [user("How cold is it?")];
    const include = ["reasoning.encrypted_content"];
    const asked = { model: GEMINI, input, tools: [TOOL], store: false, include };
    for (const streamed of [false, true, false]) {
      const response = streamed
        ? await client.responses.stream(asked).finalResponse()
        : await client.responses.create(asked);
      input.push(...response.output);
      for (const call of response.output.filter((item) => item.type === "function_call")) {
        const { city } = JSON.parse(call.arguments);
        input.push({ type: "function_call_output", call_id: call.call_id, output: `5 degrees in ${city}` });
      }
    }
    const kinds = input.map((item) => item.type ?? item.role).filter((kind) => kind !== "reasoning");
    const [call, output] = ["function_call", "function_call_output"];
    assert.deepEqual(kinds, ["user", call, call, output, output, call, output, "message"]);
    assert.equal(input.at(-1).content[0].text, "It is cold.");
    return kinds.join(", ");
  },

  // agproxy keeps the conversation: only the results are sent.
  async responses_stored_tools() {
    const tools = [TOOL, { type: "custom", name: "run", description: "Runs Python." }];
    const first = await client.responses.create({ model: GEMINI, input: "How cold is it?", tools });
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });
    const second = await client.responses
      .stream({
        model: GEMINI,
        previous_response_id: first.id,
        input: [{ type: "function_call_output", call_id: call.call_id, output: "5 degrees" }],
        tools,
      })
      .finalResponse();
    const custom = second.output.find((item) => item.type === "custom_tool_call");
    assert.equal(custom.input, 'print("hé")\n');
    const third = await client.responses.create({
      model: GEMINI,
      previous_response_id: second.id,
      input: [{ type: "custom_tool_call_output", call_id: custom.call_id, output: "hé" }],
      tools,
    });
    assert.equal(third.output_text, "It is cold.");
    assert.equal(third.previous_response_id, second.id);
    return `${call.name}, then ${custom.name}, then ${third.output_text}`;
  },

  async responses_parse() {
    const asked = { model: MODEL, input: "The weather?", text: { format: zodTextFormat(Weather, "weather") } };
    const response = await client.responses.parse(asked);
    assert.deepEqual(response.output_parsed, OSLO);
    const streamed = await client.responses.stream(asked).finalResponse();
    assert.deepEqual(streamed.output_parsed, OSLO);
    return JSON.stringify(response.output_parsed);
  },

  async responses_chain() {
    let previous;
    for (const words of ["One", "Two", "Three"]) {
      const asked = { model: MODEL, input: words, instructions: `Count after ${words}.` };
      const response = await client.responses.create({ ...asked, previous_response_id: previous });
      assert.equal(response.previous_response_id, previous ?? null);
      previous = response.id;
    }
    return `three turns, the last is ${previous.slice(0, 5)}...`;
  },

  async responses_stored() {
    const input = [user("One"), { role: "assistant", content: "Two" }, user([{ type: "input_text", text: "Three" }])];
    const made = await client.responses.create({ model: MODEL, input, metadata: { kept: "yes" } });
    const found = await client.responses.retrieve(made.id);
    const { choices, ...kept } = made; // as Chat Completions has them, for those who ask here by mistake
    assert.equal(choices[0].message.content, made.output_text);
    assert.deepEqual(found, kept);
    const page = await client.responses.inputItems.list(made.id, { limit: 2, order: "asc" });
    assert.ok(page.hasNextPage());
    const items = await collect(page);
    assert.deepEqual(items.map((item) => item.content[0].text), ["One", "Two", "Three"]);
    assert.equal(new Set(items.map((item) => item.id)).size, 3);
    const newest = await client.responses.inputItems.list(made.id);
    assert.equal(newest.data[0].content[0].text, "Three");
    await client.responses.delete(made.id);
    await rejected(client.responses.retrieve(made.id), OpenAI.NotFoundError, 404, "response_not_found");
    await rejected(client.responses.inputItems.list(made.id), OpenAI.NotFoundError, 404, "response_not_found");
    const next = { model: MODEL, input: "Four", previous_response_id: made.id };
    await rejected(client.responses.create(next), OpenAI.NotFoundError, 404, "previous_response_not_found");
    const unkept = await client.responses.create({ model: MODEL, input: "One", store: false });
    await rejected(client.responses.retrieve(unkept.id), OpenAI.NotFoundError, 404, "response_not_found");
    return `${items.length} items, then deleted`;
  },

  async chat() {
    const asked = { model: MODEL, messages: [user("Hello")] };
    const whole = await client.chat.completions.create(asked);
    assert.equal(whole.choices[0].message.content, "Hello, wörld €");
    assert.equal(whole.choices[0].finish_reason, "stop");
    assert.equal(whole.usage.total_tokens, 155);
    const options = { stream: true, stream_options: { include_usage: true } };
    const chunks = await collect(await client.chat.completions.create({ ...asked, ...options }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""), "One, two, thrée");
    assert.equal(chunks.at(-1).usage.total_tokens, 10);
    const stream = client.chat.completions.stream(asked);
    let told = "";
    stream.on("content", (delta) => (told += delta));
    assert.equal(await stream.finalContent(), "One, two, thrée");
    assert.equal(told, "One, two, thrée");
    return `${chunks.length} chunks`;
  },

  // The SDK runs the loop by itself.
  async chat_tools() {
    const asked = [];
    const tool = zodFunction({
      name: "get_weather",
      description: "The weather in a city.",
      parameters: z.object({ city: z.string() }),
      function: ({ city }) => {
        asked.push(city);
        return `5 degrees in ${city}`;
      },
    });
    for (const stream of [false, true]) {
      const messages = [user("How cold is it?")];
      const runner = client.chat.completions.runTools({ model: GEMINI, messages, tools: [tool], stream });
      assert.equal(await runner.finalContent(), "It is cold.");
    }
    assert.deepEqual(asked, ["Oslo", "Rome", "Bern", "Oslo", "Rome", "Bern"]);
    return asked.join(", ");
  },

  async chat_parse() {
    const format = zodResponseFormat(Weather, "weather");
    const asked = { model: MODEL, messages: [user("The weather?")], response_format: format };
    const whole = await client.chat.completions.parse(asked);
    assert.deepEqual(whole.choices[0].message.parsed, OSLO);
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.parsed, OSLO);
    return JSON.stringify(whole.choices[0].message.parsed);
  },

  async completions() {
    const whole = await client.completions.create({ model: MODEL, prompt: "Once upon a", max_tokens: 50 });
    assert.equal(whole.object, "text_completion");
    assert.equal(whole.choices[0].text, "Hello, wörld €");
    assert.equal(whole.choices[0].finish_reason, "stop");
    const chunks = await collect(await client.completions.create({ model: MODEL, prompt: "Count", stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), "One, two, thrée");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    return `${chunks.length} chunks`;
  },

  async models() {
    const models = await collect(client.models.list());
    assert.ok(models.some((model) => model.id === MODEL));
    assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
    return `${models.length} models`;
  },

  async errors() {
    const asked = { model: MODEL, input: "Hello" };
    const hot = await rejected(
      client.responses.create({ ...asked, temperature: 9 }), OpenAI.BadRequestError, 400, null);
    assert.equal(hot.param, "temperature");
    const unknown = { ...asked, model: "no-such-model" };
    await rejected(client.responses.create(unknown), OpenAI.NotFoundError, 404, "model_not_found");
    const stranger = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
    await rejected(stranger.responses.create(asked), OpenAI.AuthenticationError, 401, "invalid_api_key");
    const spent = "gemini-2.5-flash";
    const quota = await rejected(
      client.responses.create({ model: spent, input: "Hello" }), OpenAI.RateLimitError, 429, "rate_limit_exceeded");
    assert.match(quota.message, /exceeded your current quota/);
    assert.ok(Number(quota.headers.get("retry-after")) > 0);
    for (const again of [
      () => client.responses.create({ model: spent, input: "Hello", stream: true }),
      () => client.chat.completions.create({ model: spent, messages: [user("Hello")] }),
      () => client.completions.create({ model: spent, prompt: "Hello" }),
    ]) {
      await rejected(again(), OpenAI.RateLimitError, 429, "no_account_available");
    }
    return `${hot.message}; ${quota.message.slice(0, 40)}`;
  },

  // A stream that has begun cannot have another status: the error comes in it.
  async broken_streams() {
    const seen = [];
    const broken = {
      responses: () => client.responses.create({ model: MODEL, input: "Count.", stream: true }),
      "responses.stream": async () => client.responses.stream({ model: MODEL, input: "Count." }),
      chat: () => client.chat.completions.create({ model: MODEL, messages: [user("Count.")], stream: true }),
      completions: () => client.completions.create({ model: MODEL, prompt: "Count.", stream: true }),
    };
    for (const [name, open] of Object.entries(broken)) {
      let told = "";
      const read = async () => {
        for await (const event of await open()) {
          const choice = event.choices?.[0];
          const delta = event.type === "response.output_text.delta" ? event.delta : choice?.delta?.content;
          told += delta ?? choice?.text ?? "";
        }
      };
      const error = await read().then(() => assert.fail(`${name} has ended well`), (reason) => reason);
      assert.ok(error instanceof OpenAI.OpenAIError, `${name}: ${error?.constructor?.name}: ${error?.message}`);
      assert.match(error.message, /broke in the middle of its answer/, `${name}: ${error.message}`);
      assert.equal(told, "One, ");
      seen.push(`${name}: ${error.message}`);
    }
    return seen.join("; ");
  },

  async abort() {
    const stream = await client.responses.create({ model: MODEL, input: "Count.", stream: true });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") break;
    }
    return "left after the first delta";
  },
};

const [name] = process.argv.slice(2);
console.log(await checks[name]());

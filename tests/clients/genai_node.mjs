// What a program with Google's Node SDK does; one check a run: `node genai_node.mjs CHECK PACKAGE`. `genai_node.py` has
// the fake Google ready, and looks at what reached it. GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY say where agproxy is.

import assert from "node:assert/strict";
import { z } from "zod";

const [name, sdk] = process.argv.slice(2);
const { ApiError, FunctionCallingConfigMode, GoogleGenAI, ThinkingLevel, Type } = await import(sdk);

const GEMINI = "gemini-3-flash-preview";
const OLDER = "gemini-2.5-flash";
const apiKey = process.env.GEMINI_API_KEY;
const client = new GoogleGenAI({ apiKey });

const Weather = z.object({ city: z.string(), degrees: z.number(), sky: z.enum(["clear", "grey"]).nullable() });
const OSLO = { city: "Oslo", degrees: -5, sky: "grey" };
const TOOL = {
  functionDeclarations: [{
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] },
  }],
};

const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
};
const told = (chunks) => chunks.map((chunk) => chunk.text ?? "").join("");

// The error that something is rejected with, and what Google or agproxy says in it.
const rejected = async (promise, status, word) => {
  const error = await promise.then(() => assert.fail("it was answered"), (reason) => reason);
  assert.ok(error instanceof ApiError, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  const { error: said } = JSON.parse(error.message);
  assert.deepEqual([said.code, said.status], [status, word]);
  return said;
};

const checks = {
  async generate() {
    const config = {
      systemInstruction: "Be brief.",
      temperature: 0.5,
      thinkingConfig: { includeThoughts: true, thinkingLevel: ThinkingLevel.LOW },
    };
    const answer = await client.models.generateContent({ model: GEMINI, contents: "Say hello.", config });
    assert.equal(answer.text, "Hello, wörld €");
    assert.equal(answer.candidates[0].finishReason, "STOP");
    assert.equal(answer.modelVersion, GEMINI);
    const { promptTokenCount, candidatesTokenCount, totalTokenCount, thoughtsTokenCount } = answer.usageMetadata;
    assert.deepEqual([promptTokenCount, candidatesTokenCount, totalTokenCount], [100, 20, 155]);
    assert.equal(thoughtsTokenCount, 30);
    assert.equal(answer.sdkHttpResponse.headers["x-mapped-model"], GEMINI);
    return `${answer.text}, ${totalTokenCount} tokens`;
  },

  async stream() {
    const chunks = await collect(client.models.generateContentStream({ model: OLDER, contents: "Count." }));
    assert.equal(told(chunks), "One, two, thrée");
    assert.equal(chunks.at(-1).usageMetadata.totalTokenCount, 10);
    return `${chunks.length} chunks`;
  },

  async versions() {
    for (const apiVersion of ["v1", "v1beta"]) {
      const there = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: process.env.GOOGLE_GEMINI_BASE_URL, apiVersion } });
      assert.equal((await there.models.generateContent({ model: OLDER, contents: "Hi" })).text, "Hello, wörld €");
    }
    return "v1, v1beta";
  },

  async mapped() {
    for (const model of ["gpt-4o", "models/gpt-4o", "google/gpt-4o"]) {
      const answer = await client.models.generateContent({ model, contents: "Hi" });
      assert.equal(answer.sdkHttpResponse.headers["x-mapped-model"], "gemini-flash-latest");
    }
    return "gpt-4o under three names";
  },

  // The SDK keeps the history, signatures included.
  async chat() {
    const chat = client.chats.create({ model: GEMINI });
    const first = await chat.sendMessage({ message: "One" });
    const second = await collect(chat.sendMessageStream({ message: "Two" }));
    const third = await chat.sendMessage({ message: "Three" });
    assert.deepEqual([first.text, told(second), third.text], ["First", "Second", "Third"]);
    return `${chat.getHistory().length} contents`;
  },

  async tools() {
    const contents = [{ role: "user", parts: [{ text: "How cold is it?" }] }];
    const config = { tools: [TOOL], toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO } } };
    for (const streamed of [false, true, false]) {
      const asked = { model: GEMINI, contents, config };
      const chunks = streamed
        ? await collect(client.models.generateContentStream(asked))
        : [await client.models.generateContent(asked)];
      const parts = chunks.flatMap((chunk) => chunk.candidates[0].content.parts);
      contents.push({ role: "model", parts });
      const calls = parts.filter((part) => part.functionCall).map((part) => part.functionCall);
      const results = calls.map(({ id, name, args }) => ({
        functionResponse: { id, name, response: { output: `5 degrees in ${args.city}` } },
      }));
      if (results.length) contents.push({ role: "user", parts: results });
    }
    assert.deepEqual(contents.map(({ role }) => role), ["user", "model", "user", "model", "user", "model"]);
    assert.equal(contents.at(-1).parts[0].text, "It is cold.");
    return contents.map(({ parts }) => parts.length).join(", ");
  },

  // The SDK runs the loop by itself.
  async automatic_tools() {
    const cities = [];
    const callTool = async (calls) =>
      calls.map(({ id, name, args }) => {
        cities.push(args.city);
        return { functionResponse: { id, name, response: { output: `5 degrees in ${args.city}` } } };
      });
    const config = { tools: [{ tool: async () => TOOL, callTool }] };
    const answer = await client.models.generateContent({ model: GEMINI, contents: "How cold is it?", config });
    assert.equal(answer.text, "It is cold.");
    assert.deepEqual(cities, ["Oslo", "Rome", "Bern"]);
    return cities.join(", ");
  },

  async files() {
    const data = Buffer.from("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "latin1").toString("base64");
    const picture = { inlineData: { mimeType: "image/png", data: process.env.PICTURE } };
    const document = { inlineData: { mimeType: "application/pdf", data } };
    const answer = await client.models.generateContent({ model: GEMINI, contents: [picture, document, "What is this?"] });
    assert.equal(answer.text, "Hello, wörld €");
    return "a picture and a document";
  },

  async parse() {
    const schema = { type: Type.OBJECT, properties: { city: { type: Type.STRING }, degrees: { type: Type.NUMBER } } };
    for (const format of [{ responseSchema: schema }, { responseJsonSchema: z.toJSONSchema(Weather) }]) {
      const config = { responseMimeType: "application/json", ...format };
      const answer = await client.models.generateContent({ model: GEMINI, contents: "The weather?", config });
      assert.deepEqual(Weather.parse(JSON.parse(answer.text)), OSLO);
    }
    return JSON.stringify(OSLO);
  },

  async count() {
    const { totalTokens } = await client.models.countTokens({ model: GEMINI, contents: "One two" });
    assert.ok(totalTokens > 0);
    return `${totalTokens} tokens`;
  },

  async embed() {
    const config = { outputDimensionality: 768 };
    const asked = { model: "gemini-embedding-001", contents: ["One", "two"], config };
    const { embeddings } = await client.models.embedContent(asked);
    assert.deepEqual(embeddings.map(({ values }) => values.length), [768, 768]);
    assert.notDeepEqual(embeddings[0].values, embeddings[1].values);
    return `${embeddings.length} of ${embeddings[0].values.length}`;
  },

  async models() {
    const names = (await collect(client.models.list())).map((model) => model.name);
    assert.ok(names.includes(`models/${OLDER}`));
    assert.equal(new Set(names).size, names.length);
    const model = await client.models.get({ model: OLDER });
    assert.deepEqual([model.name, model.inputTokenLimit], [`models/${OLDER}`, 1048576]);
    return `${names.length} models`;
  },

  async errors() {
    const ask = (model, from = client) => from.models.generateContent({ model, contents: "Hi" });
    const unknown = await rejected(ask("no-such-model"), 404, "NOT_FOUND");
    assert.match(unknown.message, /no-such-model/);
    await rejected(ask(GEMINI, new GoogleGenAI({ apiKey: "wrong" })), 401, "UNAUTHENTICATED");
    const quota = await rejected(ask(OLDER), 429, "RESOURCE_EXHAUSTED");
    const failure = quota.details.find((detail) => detail["@type"].endsWith("QuotaFailure"));
    assert.match(failure.violations[0].quotaId, /PerDay/);
    await rejected(client.files.list(), 404, "NOT_FOUND");
    const based = { baseUrl: `${process.env.GOOGLE_GEMINI_BASE_URL}/v1beta` };
    const wrong = await rejected(ask(GEMINI, new GoogleGenAI({ apiKey, httpOptions: based })), 404, "NOT_FOUND");
    assert.match(wrong.message, /without a version/);
    return `${unknown.message.slice(0, 60)}; ${wrong.message.slice(0, 60)}`;
  },

  // A stream that has begun cannot have another status: the error comes in it.
  async broken_stream() {
    const chunks = [];
    const read = async () => {
      for await (const chunk of await client.models.generateContentStream({ model: OLDER, contents: "Count." })) {
        chunks.push(chunk);
      }
    };
    const error = await read().then(() => assert.fail("it has ended well"), (reason) => reason);
    assert.ok(error instanceof ApiError, `${error?.constructor?.name}: ${error?.message}`);
    assert.match(error.message, /broke in the middle of its answer/);
    assert.equal(told(chunks), "One, ");
    return `${error.status}: ${error.message}`;
  },

  async silence() {
    const chunks = await collect(client.models.generateContentStream({ model: OLDER, contents: "Count." }));
    assert.equal(told(chunks), "One, two, thrée");
    return `${chunks.length} chunks`;
  },

  async abort() {
    const abort = new AbortController();
    const config = { abortSignal: abort.signal };
    const stream = await client.models.generateContentStream({ model: OLDER, contents: "Count.", config });
    for await (const chunk of stream) {
      assert.equal(chunk.text, "word ");
      break;
    }
    abort.abort();
    return "left after the first chunk";
  },
};

console.log(await checks[name]());

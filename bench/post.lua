-- SPDX-License-Identifier: Apache-2.0
-- Post CloudEvents with a fresh id each; everything that differs between the measured servers comes from the environment.
local body = os.getenv("BENCH_BODY")
local salt = os.getenv("BENCH_SALT")
local headers = {
  ["Content-Type"] = "application/json",
  ["X-API-KEY"] = os.getenv("BENCH_KEY") or "",
  ["ce-specversion"] = "1.0", ["ce-source"] = "/bench", ["ce-type"] = os.getenv("BENCH_TYPE") or "bench.posted",
}
local n, thread_count = 0, 0

function setup(thread)
  thread_count = thread_count + 1
  thread:set("thread_id", thread_count)
end

function request()
  n = n + 1
  headers["ce-id"] = salt .. "-" .. thread_id .. "-" .. n
  return wrk.format("POST", "/events", headers, body)
end

function done(summary, latency)
  io.write(string.format('\nBENCH {"requests":%d,"micros":%d,"not_2xx":%d,"broken":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end

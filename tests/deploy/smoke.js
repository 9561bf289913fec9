// A minute's worth of an ordinary day, in seconds: reads at a steady rate, none failing, nearly all of them quick.
import http from "k6/http";
import { check } from "k6";

const base = `${__ENV.API}/api/v1`;

export const options = {
  scenarios: {
    reads: { executor: "constant-arrival-rate", rate: 4, timeUnit: "1s", duration: "15s", preAllocatedVUs: 10, maxVUs: 40 },
  },
  thresholds: {
    checks: ["rate>0.99"],
    http_req_failed: ["rate<0.01"],
    "http_req_duration{expected_response:true}": ["p(95)<5000"],
    dropped_iterations: ["count<10"],
  },
};

export function setup() {
  const login = http.post(
    `${base}/auth/token`,
    JSON.stringify({ username: __ENV.API_USER, password: __ENV.API_PASSWORD }),
    { headers: { "content-type": "application/json" } },
  );
  return { headers: { authorization: `Bearer ${login.json("access")}` } };
}

const paths = ["/worklist?page_size=20", "/accounts?page_size=20", "/imports", "/payments", "/breaks"];

export default function (session) {
  const answer = http.get(base + paths[__ITER % paths.length], { headers: session.headers });
  check(answer, { "is answered": (got) => got.status === 200 });
}

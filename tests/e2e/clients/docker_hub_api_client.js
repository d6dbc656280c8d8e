// Runs the Node client as other programs do: a line on stdin is a call, a line on stdout what it returned.
"use strict";

const readline = require("readline");
const hub = require("docker-hub-api");

async function main() {
    hub.setCacheOptions({ enabled: false });
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const [method, args] = JSON.parse(line);
        let answer;
        try {
            const result = await hub[method](...args);
            answer = { result: result === undefined ? null : result };
        } catch (error) {
            answer = { error: error.message };
        }
        console.log(JSON.stringify(answer));
    }
}

main();

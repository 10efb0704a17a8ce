import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    fileParallelism: false,
    projects: [
      // On a clock of its own, in memory.
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 30_000 } },
      // Against a server, the mock one or a real one (test/server/server.ts): over real sockets.
      { test: { name: "server", include: ["test/server/**/*.test.ts"], testTimeout: 20_000, expect: { poll: { timeout: 10_000 } } } },
      // In Chromium.
      { test: { name: "browser", include: ["test/browser/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, expect: { poll: { timeout: 10_000 } } } },
    ],
  },
});

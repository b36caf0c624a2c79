import base from "../../vitest.config.ts";

export default {
  ...base,
  test: { ...base.test, include: ["test/browser/**/*.test.ts"], exclude: [] },
};

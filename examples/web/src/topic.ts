/** Whether a filter with `+` and `#` matches a topic, by MQTT's rules: wildcards in front do not match `$`. */
export function matches(filter: string, topic: string): boolean {
  if (topic[0] === "$" && filter[0] !== "$") return false;
  const want = filter.split("/");
  const have = topic.split("/");
  for (const [index, level] of want.entries()) {
    if (level === "#") return true;
    if (index >= have.length || (level !== "+" && level !== have[index])) return false;
  }
  return want.length === have.length;
}

#!/usr/bin/env bash
# Record the session of docs/first-session.md in tmux: make session.
# The commands are those of the page, after "$ "; what they print takes the place of what is there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
command -v tmux > /dev/null || { echo "error: tmux is missing: install it" >&2; exit 2; }
folder=$(mktemp -d)
session=first-session-$$
trap 'tmux kill-session -t "$session" 2> /dev/null || true; rm -rf "$folder"' EXIT

"$root/.venv/bin/python" - "$root/docs/first-session.md" "$folder" <<'PYTHON'
import re, sys
from pathlib import Path

from textmetric.corpora.docstrings import collect, folders

page, folder = Path(sys.argv[1]), Path(sys.argv[2])
packages = folders({"matplotlib": "matplotlib", "pandas": "pandas", "scikit-learn": "sklearn"})
table, _ = collect(packages, by_module=False, progress=False)
table = table.drop_duplicates("text").groupby("label").sample(300, random_state=0)[["text", "label"]]
table.rename(columns={"label": "package"}).to_csv(folder / "docstrings.csv", index=False)
block = re.search(r"```text\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
(folder / "commands").write_text("\n".join(commands) + "\n", encoding="utf-8")
PYTHON
cp "$root"/dist/*.whl "$folder"

tmux new-session -d -s "$session" -x 120 -y 500 -c "$folder" \
	"env PATH='${PATH#"$root/.venv/bin:"}' VIRTUAL_ENV_DISABLE_PROMPT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
	bash --norc --noprofile"
type_in() {  # and wait for the next prompt
	tmux send-keys -t "$session" -l "$1"
	tmux send-keys -t "$session" Enter
	until [ "$(tmux capture-pane -p -t "$session" | grep -v '^$' | tail -n 1)" = '$' ]; do sleep 1; done
}
type_in "PS1='$ '; clear"
while IFS= read -r line <&3; do type_in "$line"; done 3< "$folder/commands"
tmux capture-pane -p -J -t "$session" > "$folder/session"

"$root/.venv/bin/python" - "$root/docs/first-session.md" "$folder/session" <<'PYTHON'
import sys
from pathlib import Path

page, session = (Path(name) for name in sys.argv[1:])
head, _, rest = page.read_text("utf-8").partition("```text\n")
recorded = session.read_text("utf-8").rstrip().removesuffix("$").rstrip()
recorded = "\n".join(line.rstrip() for line in recorded.splitlines())
_, _, tail = rest.partition("\n```\n")
page.write_text(f"{head}```text\n{recorded}\n```\n{tail}", encoding="utf-8")
PYTHON

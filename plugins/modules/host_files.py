#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A set of directories and files on a host, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_files
short_description: Manage directories and files with content, owner and mode, all in one call
version_added: 0.2.0
description:
  - Does for a whole set what M(ansible.builtin.file), M(ansible.builtin.copy) and M(ansible.builtin.blockinfile) do one by one, each with a call
    of its own to the host.
  - Directories are made first, then files in their order, then blocks; absent paths are removed last. The first one that
    fails ends it.
  - Files are replaced whole. One with O(files[].validate) is checked before it is put in its place.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  directories:
    description: Directories to create. Missing parents are made with mode 0755.
    type: list
    elements: dict
    default: []
    suboptions: &attributes
      path:
        description: Its path.
        type: path
        required: true
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0755"
  files:
    description: Files to create.
    type: list
    elements: dict
    default: []
    suboptions: &file
      path:
        description: Its path. A link there is replaced.
        type: path
        required: true
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0644"
      content:
        description: Its content.
        type: str
      src:
        description: A file on the controller whose content it has instead, found as M(ansible.builtin.copy) finds its own.
        type: str
      validate:
        description: A command that checks the new file by its exit code. C(%s) is the path of the new file. It is not run in check mode.
        type: str
      reader:
        description:
          - A file or directory that the reader of this file writes when it starts, such as a pid file. While it is missing or older than this
            file, the task is changed, so that a handler missed by an interrupted run still runs.
        type: path
      diff:
        description: Whether the diff shows its content. Turn it off for code and other long files.
        type: bool
        default: true
  hidden_files:
    description: Like O(files), but the content is not in any output or diff.
    type: list
    elements: dict
    default: []
    suboptions: *file
  blocks:
    description: Blocks of lines in files that are otherwise unchanged.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      block:
        description: The lines. A new block goes to the end of the file.
        type: str
        required: true
      reader:
        description: As O(files[].reader).
        type: path
  absent:
    description: Files, links and empty directories to remove.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Reports what would change; a missing directory, user or group is no error.
    support: full
  diff_mode:
    description: Shows each file before and after, except those of O(hidden_files).
    support: full
"""

EXAMPLES = r"""
- name: Configure | Write what the server reads
  sluice.stack.host_files:
    directories:
      - {path: /etc/example, mode: "0750"}
    files:
      - path: /etc/example/example.conf
        content: "{{ lookup('ansible.builtin.template', 'example.conf.j2') }}"
        validate: example --check %s
        reader: /run/example.pid
    hidden_files:
      - {path: /etc/example/password, content: "{{ example_password }}", mode: "0600"}
  notify: Restart example
"""

RETURN = r"""
changed_paths:
  description: The paths that changed, or that their reader has not read yet.
  returned: success
  type: list
  elements: str
  sample: [/etc/example/example.conf]
changes:
  description: What changed, one line for each path.
  returned: success
  type: list
  elements: str
  sample: ["/etc/example/example.conf: content, mode 0600 → 0644"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import host_files


def attributes(mode: str) -> dict[str, Any]:
    """Return the options that every path has."""
    return {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": mode},
    }


def file_options(**content: Any) -> dict[str, Any]:
    """Return the options of a file; those of its content have ``content`` added."""
    return {
        **attributes("0644"),
        "content": {"type": "str", **content},
        "src": {"type": "str"},
        "validate": {"type": "str"},
        "reader": {"type": "path"},
        "diff": {"type": "bool", "default": True},
    }


def entries(options: dict[str, Any]) -> dict[str, Any]:
    """Return an option that is a list of such maps."""
    return {"type": "list", "elements": "dict", "default": [], "options": options}


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "directories": entries(attributes("0755")),
        "files": entries(file_options()),
        "hidden_files": entries(file_options(no_log=True)),
        "blocks": entries(
            {
                "path": {"type": "path", "required": True},
                "block": {"type": "str", "required": True},
                "reader": {"type": "path"},
            }
        ),
        "absent": {"type": "list", "elements": "path", "default": []},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, compare, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    try:
        changes = host_files.changes_for(host_files.desired_of(module.params))
        if not module.check_mode:
            for change in changes:
                host_files.apply(change)
    except host_files.HostFilesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(changes),
        changed_paths=[change.desired.path for change in changes],
        changes=[change.summary for change in changes],
        diff=[host_files.diff_of(change) for change in changes] if module._diff else [],
    )


if __name__ == "__main__":
    main()

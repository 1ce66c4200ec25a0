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
extends_documentation_fragment: [sluice.stack.group, sluice.stack.files]
options:
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

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **host_files.OPTIONS,
        "blocks": host_files.entries(
            {
                "path": {"type": "path", "required": True},
                "block": {"type": "str", "required": True},
                "reader": {"type": "path"},
            }
        ),
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

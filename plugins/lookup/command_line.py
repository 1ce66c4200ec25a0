# SPDX-License-Identifier: Apache-2.0
"""Variables of a run as the command line has them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: command_line
short_description: The values that variables of a run have on the command line, refused when they hold a template
version_added: 0.1.0
description:
  - Ansible fills in a template wherever it uses a variable, also one that was given with C(-e). A version that a pipeline takes from a tag
    could so run a command on the controller.
  - This reads the options C(-e) themselves, and fails when a variable of a run (C(app_version), C(release_*) and the like) holds a template
    there. Nothing has been filled in by then.
author: Sluice maintainers (@sluice-stack)
options:
  _terms:
    description: Names of variables; none, only to check.
    type: list
    elements: str
    required: false
  default:
    description: The value of a variable that the command line does not set.
    type: raw
    default: ""
"""

EXAMPLES = r"""
- name: Refuse templates on the command line before anything is filled in
  hosts: "{{ lookup('sluice.stack.command_line') or 'all' }}"

- name: Show what a run was told, as it was told
  ansible.builtin.debug:
    msg: "{{ lookup('sluice.stack.command_line', 'release_to', default='the release before') }}"
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: raw
"""

from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.splitter import parse_kv
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.sluice.stack.plugins.module_utils.contract import command_line


class LookupModule(LookupBase):
    """See above."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[Any]:
        """Check the whole command line, then return the values of ``terms``."""
        self.set_options(var_options=variables, direct=options)
        given = load_extra_vars(self._loader)
        pairs = [parse_kv(text) for text in context.CLIARGS.get("extra_vars") or () if text[:1] not in "@[{"]
        problems = command_line.templates(given, pairs)
        if problems:
            raise AnsibleError("; ".join(problems))
        return [given.get(name, self.get_option("default")) for name in terms]

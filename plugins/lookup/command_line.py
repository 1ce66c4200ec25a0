# SPDX-License-Identifier: Apache-2.0
"""Variables of a run as given on the command line."""

from __future__ import annotations

DOCUMENTATION = r"""
name: command_line
short_description: Return a run's variables as given on the command line, and refuse templates in them
version_added: 0.1.0
description:
  - Ansible executes a template wherever it uses a variable, even one given with C(-e). A version that a pipeline takes from a tag
    could run a command on the controller this way.
  - This reads the C(-e) options themselves, and fails when a variable of a run (C(app_version), C(release_*) and the like) contains a template.
    No template has been executed by then.
  - It also fails when such an option, written as C(name=some text), sets other variables, as Ansible splits it at its spaces.
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
# In a play, "hosts: {{ lookup('sluice.stack.command_line') or 'all' }}" refuses templates before any of them is evaluated.
- name: Show an option of the command line unchanged
  ansible.builtin.debug:
    msg: "{{ lookup('sluice.stack.command_line', 'release_to', default='the previous release') }}"
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
        problems = [*command_line.split(pairs), *command_line.templates(given)]
        if problems:
            raise AnsibleError("; ".join(problems))
        return [given.get(name, self.get_option("default")) for name in terms]

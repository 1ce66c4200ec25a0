# SPDX-License-Identifier: Apache-2.0
"""Options of modules that write a set of directories and files."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of ``host_files.OPTIONS``."""

    DOCUMENTATION = r"""
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
  absent:
    description: Files, links and empty directories to remove.
    type: list
    elements: path
    default: []
"""

# SPDX-License-Identifier: Apache-2.0
"""What tests share: the load client, the lab seen from outside, a browser."""

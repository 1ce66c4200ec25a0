// SPDX-License-Identifier: Apache-2.0
import { Component, type ReactNode } from 'react';

/** A lazy chunk of an old page can be gone from the server: say so, and offer the new page. */
export class ChunkBoundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <p className="error" role="alert" data-testid="chunk-error">
        This part of the page could not be loaded.{' '}
        <button type="button" onClick={() => window.location.reload()}>
          Reload the page
        </button>
      </p>
    );
  }
}

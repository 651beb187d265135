//! Where bytes come from: files under the namespace's folder, opened without ever leaving it.

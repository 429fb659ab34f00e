// The browser's own storage, as values by key.

function opened() {
    return new Promise((resolve, reject) => {
        const request = indexedDB.open("wgrad", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("kept");
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

async function transact(mode, action) {
    const database = await opened();
    try {
        return await new Promise((resolve, reject) => {
            const transaction = database.transaction("kept", mode);
            const request = action(transaction.objectStore("kept"));
            transaction.oncomplete = () => resolve(request.result);
            transaction.onerror = () => reject(transaction.error);
            transaction.onabort = () => reject(transaction.error);
        });
    } finally {
        database.close();
    }
}

/** The value of a key, or undefined. */
export function read(key) {
    return transact("readonly", (store) => store.get(key));
}

/** Keeps a value; undefined forgets it. */
export function write(key, value) {
    return transact("readwrite", (store) => (value === undefined ? store.delete(key) : store.put(value, key)));
}

https://sms.example.com/vonage
Content-Type:application/x-www-form-urlencoded; charset=UTF-8

msisdn=12130208886&to=12128300669&messageId=2F08CAC4F945D21B&text=Hello%20mi5Q&type=text&keyword=HELLO&message-timestamp=2025-10-09%2012%3A00%3A00&timestamp=1760698863&nonce=4d66b101-8ad1-4383-a616-b707b7bdb5f6&api-key=abcd1234&sig=7eea101f7bae70ad94253ccad8cd04bf48e8d7fb3de84ea9d7491d8cc681f739